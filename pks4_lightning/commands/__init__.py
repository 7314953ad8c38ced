"""The subcommands of ``pks4``, one module each."""
