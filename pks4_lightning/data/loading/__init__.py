"""Load clips in batches: dataset, order and worker processes."""
