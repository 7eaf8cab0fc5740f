"""DVC, Hydra and MLflow in agreement."""
