"""Write, find, read and validate checkpoints."""
