"""Tables, and the only SQL queries."""
