"""The dock for reviewing a metaphase region by region."""
