"""From what a network says to events that can be trusted: probabilities, thresholds and times."""
