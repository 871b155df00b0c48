"""The operator's station for fields that need a person."""
