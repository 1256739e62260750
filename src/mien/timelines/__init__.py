"""Timelines put into words and into files, and read back."""
