"""Celery: the tasks, their transport over Redis, publishing, and the reconciler of lost jobs."""
