"""Inspect a data set before training."""
