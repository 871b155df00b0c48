"""Where scans lie: folders and object storage."""
