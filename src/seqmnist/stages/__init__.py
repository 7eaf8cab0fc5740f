"""The pipeline's stages, one file each; dvc.yaml wires them."""
