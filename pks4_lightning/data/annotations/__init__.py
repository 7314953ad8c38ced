"""Lists of videos with labels, as the data sets publish them."""
