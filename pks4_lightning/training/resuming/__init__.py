"""Where an interrupted training stood."""
