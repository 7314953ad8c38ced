"""``pks4 data``: inspect, index and split data before training."""
