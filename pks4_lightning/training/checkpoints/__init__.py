"""Checkpoint files: writing, finding, reading."""
