"""The dock in which a lab trains a model on its own annotated metaphases."""
