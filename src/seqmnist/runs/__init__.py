"""What the trainings and stages of this project leave in MLflow."""
