"""Training one model: batches, recipe, history."""
