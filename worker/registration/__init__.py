"""Bring a page onto its form: printed marks found, and the homography from millimetres to pixels."""
