"""The laboratory of the general reader: PP-OCRv6 small, fine-tuned on drawn fields and real pens."""
