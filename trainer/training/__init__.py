"""Fitting a network, and scoring it fold by fold."""
