"""What may be wrong with a machine before a training starts on it, and how it is mended."""
