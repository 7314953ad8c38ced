"""Neural network modules and the builder that assembles them."""
