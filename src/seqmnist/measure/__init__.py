"""What is measured of trained models, and what the measures prove."""
