"""A page on which a person tries a trained classifier."""
