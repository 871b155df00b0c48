"""Pages without a form: their printed rows, their tables, and the numbers written on them."""
