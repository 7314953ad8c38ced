"""Commands that make a trained classifier available to others."""
