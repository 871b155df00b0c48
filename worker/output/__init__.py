"""Readings for people and other programs: JSON, tables, drawings."""
