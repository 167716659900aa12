"""Networks, model files, the model list and the classifier."""
