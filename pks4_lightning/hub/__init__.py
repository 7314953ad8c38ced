"""Classifiers on the Hugging Face hub: what is published, with which card, and how it is read."""
