"""Optimisation: recipe, schedule, loss, mixing, parameter groups."""
