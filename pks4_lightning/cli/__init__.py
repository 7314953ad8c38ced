"""The command line: settings, parser, errors."""

from typing import TYPE_CHECKING

from pks4_lightning.lazy import lazy_names

if TYPE_CHECKING:
    from pks4_lightning.cli.configs import find_config
    from pks4_lightning.cli.errors import ArgumentsError
    from pks4_lightning.cli.settings import Settings, data_module, resolve, saved_settings
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = ["ArgumentsError", "Settings", "data_module", "find_config", "resolve", "saved_settings"]
