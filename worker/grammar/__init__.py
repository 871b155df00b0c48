"""What written figures mean: numbers, amounts, dates and times, of forms and checks alike, and of what people type."""
