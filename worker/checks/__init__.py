"""Read bank checks without a template: find the check on a page, its amount, date, number and MICR line."""
