"""The general reader and the line reader's networks trained side by side on a GPU, on one stream of drawn fields."""
