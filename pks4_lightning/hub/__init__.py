"""Publish classifiers on the Hugging Face hub, with a model card, and download them."""
