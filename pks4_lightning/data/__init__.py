"""From video files and annotations to batches of clips."""
