"""Fields: find them, cut their ink, read their lines, and judge each reading."""
