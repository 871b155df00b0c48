"""Digit images as the model wants them, its answers decoded and calibrated."""
