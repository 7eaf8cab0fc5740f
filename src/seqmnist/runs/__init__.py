"""What the experiment's stages leave in MLflow."""
