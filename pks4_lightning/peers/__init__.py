"""The methods that the paper compares PKS⁴ with, one per file."""
