"""Bank checks without a template: the check on a page, its amount, date, number and MICR line."""
