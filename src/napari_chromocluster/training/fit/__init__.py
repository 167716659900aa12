"""How a network is trained: stages, callbacks, learning rates and the model file."""
