"""Models, graphs, data sets and durations of this project's trainings in MLflow."""
