"""From clips to batches: data set, order, worker processes."""
