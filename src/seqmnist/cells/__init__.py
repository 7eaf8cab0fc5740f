"""Recurrent cells, and the model that each is a part of."""
