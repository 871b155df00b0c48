"""The commands of `icr`, one module a subject."""
