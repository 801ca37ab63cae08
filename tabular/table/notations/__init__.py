"""How a column writes its numbers, dates and missing values."""
