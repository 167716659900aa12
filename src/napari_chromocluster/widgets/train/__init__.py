"""The dock for training a model on annotated metaphases."""
