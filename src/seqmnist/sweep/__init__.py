"""Sweeps over a project's variants and hyperparameters: `python -m seqmnist.sweep -m KEY=VALUE,VALUE ...`."""
