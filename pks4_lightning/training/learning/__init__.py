"""What a training learns by: recipe, schedule, mixing, parameter groups."""
