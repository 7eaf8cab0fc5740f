"""Sweeps whose trials are Slurm jobs."""
