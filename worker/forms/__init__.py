"""Form templates: loaded from JSON, or drafted from a scan of the form."""
