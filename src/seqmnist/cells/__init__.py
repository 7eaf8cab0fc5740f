"""Recurrent cells and the model round them."""
