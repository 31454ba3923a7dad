"""Sounds laid over each other and over background, with the truth about them."""
