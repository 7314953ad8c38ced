"""Turn per-view scores into per-video metrics and reports."""
