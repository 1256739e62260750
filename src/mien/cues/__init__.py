"""What can be seen and heard, measured and put in words."""
