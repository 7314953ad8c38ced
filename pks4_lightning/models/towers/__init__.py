"""Image transformers of Hugging Face: one record per family, and what reads their files.

Nothing outside this folder knows transformers, which is imported when a tower is built: importing
it takes longer than all else that a command needs to show its help.
"""
