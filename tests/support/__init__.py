"""What the tests share: servers, scans, readings made by hand."""
