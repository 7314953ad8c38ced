"""Resume an interrupted training exactly."""
