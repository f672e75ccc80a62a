"""Measures the size, structure and language of a checkout; ``make house`` prints the table."""
