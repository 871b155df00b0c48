"""Drawn handwriting and paper with known truth, for samples, tests and training."""
