"""The watched folder: scans are claimed, queued, and end in ``done/``, ``failed/`` or ``duplicate/``."""
