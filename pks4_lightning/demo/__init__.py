"""The demonstration: generated videos, a tiny CLIP-like backbone, and a report on two trainings."""
