"""Commands that apply a trained classifier to videos."""
