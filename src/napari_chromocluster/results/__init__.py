"""Results: features tables, annotations, metrics and figures."""
