"""The training of one model: batches, graphs, optimizer, epochs and history."""
