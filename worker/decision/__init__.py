"""What becomes of a field that was read."""
