"""A perceptron that separates two clouds of points."""
