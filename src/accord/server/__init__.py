"""A tracking server that a team shares: look for the usual mistakes, move a local store to it."""
