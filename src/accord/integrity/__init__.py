"""Damage of DVC's cache, its remotes and the outputs: find it, mend it."""
