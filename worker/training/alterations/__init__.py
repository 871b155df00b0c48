"""The witness of altered digits: drawn fields with digits struck out and written over, its training and its card."""
