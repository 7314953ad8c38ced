"""Annotations with times: labelled parts of videos, as tables or exports of annotation tools."""
