"""What the trained models show: scores and figures."""
