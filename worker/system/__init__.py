"""What the operating system is asked for: a private Redis, child processes, their identity."""
