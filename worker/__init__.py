"""Reads handwritten numbers off scanned paper: from files to numbers with honest confidences."""
