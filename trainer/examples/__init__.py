"""From recordings to the examples that a network learns from."""
