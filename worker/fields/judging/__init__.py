"""Judge a reading: is the field empty, what was left unread, how sure is the number."""
