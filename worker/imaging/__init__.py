"""Grey pixels in, pixels out: binarization, removal of printed lines, removal of a form's print, geometry."""
