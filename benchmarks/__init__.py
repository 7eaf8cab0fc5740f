"""Measurements: against Keras, PyTorch and the matrix-product floor, and of the accuracy that comes out."""
