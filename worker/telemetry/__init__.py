"""What is left behind of a run: logs, traces, durations of stages."""
