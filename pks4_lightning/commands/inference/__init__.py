"""Commands that use a trained classifier on videos of one's own."""
