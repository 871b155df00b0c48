"""Dealings with the operating system: a private Redis, child processes, the identity of processes."""
