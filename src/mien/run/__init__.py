"""What the verbs do: train, keep, score and use runs."""
