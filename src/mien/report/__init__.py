"""What a run says, for people to look at: one static page for a source."""
