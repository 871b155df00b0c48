"""Train, evaluate and export the digit model."""
