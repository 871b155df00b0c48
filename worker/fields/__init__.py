"""Where the fields are, and a field's ink cut into digit candidates."""
