"""Annotations with times: parts of videos, as tables and as annotation tools export them."""
