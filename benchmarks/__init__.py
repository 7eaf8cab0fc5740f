"""Benchmarks of speed against Keras, PyTorch and the matrix-product floor, of accuracy, and of sweeps at scale."""
