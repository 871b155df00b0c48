"""Contracts with the outside world: what a job, a form template and a reading hold."""
