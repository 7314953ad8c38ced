"""The command line: settings, parser, errors."""
