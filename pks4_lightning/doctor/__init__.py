"""Check a machine before a training, and suggest a fix for each problem."""
