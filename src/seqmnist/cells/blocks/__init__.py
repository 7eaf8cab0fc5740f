"""A block of unrolled steps of each cell, with its gradient written by hand.

TensorFlow's own gradient of unrolled steps makes a product for each step and weight, and adds them up; here the
weights' gradients are one product for several steps. The functions are built while a graph is traced.
"""
