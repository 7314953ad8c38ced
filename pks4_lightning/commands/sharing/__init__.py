"""``pks4 export``, ``export-weights``: what others need of a trained classifier."""
