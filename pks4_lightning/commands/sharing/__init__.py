"""``pks4 export``, ``export-weights``, ``share``: what others need of a trained classifier."""
