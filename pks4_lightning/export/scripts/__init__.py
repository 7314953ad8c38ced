"""What `pks4 export` copies beside a model: ``run.py``, which is one of two, and ``video.py``."""
