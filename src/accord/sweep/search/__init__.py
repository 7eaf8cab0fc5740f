"""Searches: sweeps in which Optuna chooses the values of each trial by the results of earlier trials."""
