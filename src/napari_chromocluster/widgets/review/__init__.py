"""The dock in which a metaphase is checked region by region."""
