"""Two classifiers of scikit-learn's handwritten digits."""
