"""A web page for trying a trained classifier."""
