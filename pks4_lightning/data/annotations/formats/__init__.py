"""Annotations as the data sets' authors publish them: a reader for each, all giving entries."""
