"""Measures of trained models, and tests of the claims by them."""
