"""Scans that come by mail: a mailbox is watched, and what is attached to its messages is kept and registered."""
