"""What a monitor asks: health probes and metrics for Prometheus."""
