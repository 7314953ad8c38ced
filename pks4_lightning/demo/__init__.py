"""The demonstration: a tiny CLIP-like backbone, two trainings, a report."""
