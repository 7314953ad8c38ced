"""From a video's frames to clips: which frames, which crop, which changes."""
