"""``pks4 data``: know the data before a training learns from it."""
