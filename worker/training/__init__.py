"""Data sets, estimators, evaluation and export of the models."""
