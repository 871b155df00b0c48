"""Judge a reading: is the field empty, what was left unread, and how confident is the number."""
