"""Single digits: images normalized for the digit model, and its calibrated answers."""
