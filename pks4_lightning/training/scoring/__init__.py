"""From per-view scores to per-video metrics."""
