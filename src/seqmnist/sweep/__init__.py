"""Sweeps over cells and hyperparameters: `python -m seqmnist.sweep -m KEY=VALUE,VALUE ...`."""
