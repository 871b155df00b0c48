"""Find where fields, lines, numbers and cells lie on a page."""
