"""Read annotations: lists of videos with labels, in the formats of the data sets."""
