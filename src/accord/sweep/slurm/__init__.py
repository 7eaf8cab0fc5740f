"""Sweeps whose trials are jobs of Slurm."""
