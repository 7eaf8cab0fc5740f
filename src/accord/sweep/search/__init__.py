"""Searches: sweeps in which Optuna chooses the values, by what trials before came to."""
