"""What ``run.py`` of an export may be. Each stands alone: it is copied and needs no other file."""
