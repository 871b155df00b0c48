"""What a run leaves behind: logs, traces, and durations of its stages."""
