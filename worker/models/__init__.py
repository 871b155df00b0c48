"""The shipped models, their cards, and the ONNX Runtime sessions that run them."""
