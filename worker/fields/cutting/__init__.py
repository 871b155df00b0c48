"""Cut a field's ink into candidates for digits."""
