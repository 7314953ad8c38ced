"""The command line's own jobs around training: one file a command."""
