"""The dock widgets: thin layers that collect input, start work and show state."""
