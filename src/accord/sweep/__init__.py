"""Sweeps over a project's variants and hyperparameters: `python -m PROJECT.sweep -m KEY=VALUE,VALUE ...`."""
