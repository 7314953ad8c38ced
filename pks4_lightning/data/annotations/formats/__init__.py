"""The supported data sets, one file per family: format and location of the annotations."""
