"""Grey pixels in, pixels out: binarization, deskew, registration, form removal."""
