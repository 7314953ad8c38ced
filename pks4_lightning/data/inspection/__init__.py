"""Looking at a data set before a training learns from it."""
