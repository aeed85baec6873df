"""For the console."""
