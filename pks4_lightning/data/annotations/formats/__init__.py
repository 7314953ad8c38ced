"""The data sets, a file for each family: how it is read, and where its files lie."""
