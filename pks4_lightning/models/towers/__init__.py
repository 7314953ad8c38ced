"""Image transformers of Hugging Face: one record per family, and readers for their files.

Only this folder uses transformers, which is imported when a tower is built, because the import
takes longer than everything else that a command needs to show its help.
"""
