"""Train, calibrate and evaluate the readers of whole fields."""
