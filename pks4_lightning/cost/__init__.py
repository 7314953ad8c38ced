"""What a classifier costs: parameters, FLOPs, memory, training compute, time."""
