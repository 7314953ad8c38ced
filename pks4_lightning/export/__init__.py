"""Export of a classifier to a file for other programs, checked against the classifier."""
