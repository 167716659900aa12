"""The docks. Thin: they collect input, start work and show state."""
