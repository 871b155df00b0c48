"""Bring a page onto its form: find printed marks, and the homography from millimetres to pixels."""
