"""The data set: its sources, its files and its splits."""
