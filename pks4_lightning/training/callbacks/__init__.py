"""What watches a training and what it writes."""
