"""A local page on which a person draws a digit and watches the cells read it."""
