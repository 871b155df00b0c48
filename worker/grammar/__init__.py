"""The meaning of figures: numbers, amounts, dates and times, on forms and checks and as people type them."""
