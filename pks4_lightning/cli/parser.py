"""A parser that explains a mistake in one sentence and suggests what was probably meant."""

import functools
import operator
import os
import re
from pathlib import Path
from typing import Any, NoReturn, get_args

import yaml
from jsonargparse import (  # type: ignore[attr-defined]  # the action is not in its __all__
    ActionConfigFile,
    ArgumentParser,
    Namespace,
    get_loader,
    set_loader,
)
from lightning.pytorch.cli import LightningArgumentParser

from pks4_lightning.cli.allowed_imports import explain_denied_import, restrict_imports
from pks4_lightning.cli.configs import find_config
from pks4_lightning.cli.safe_yaml import check_yaml, load_config
from pks4_lightning.cli.wrong_value import explain_wrong_value
from pks4_lightning.suggestions import did_you_mean

__all__ = ["OneSentenceParser"]


_load_yaml = get_loader("yaml")


def _load_checked_yaml(text: str) -> Any:
    check_yaml(text)
    return _load_yaml(text)


class _NamedConfig(ActionConfigFile):
    """Accepts a file, the name of a configuration in the package, or the settings themselves."""

    @staticmethod
    def apply_config(parser: ArgumentParser, cfg: Namespace, dest: str, value: str) -> None:
        """Add the settings of the configuration to the preceding ones."""
        is_name = not value.lstrip().startswith(("{", "[")) and "\n" not in value
        try:
            found = str(find_config(value)) if is_name else value
        except FileNotFoundError as error:
            raise TypeError(str(error)) from None  # jsonargparse treats TypeError as a user error
        ActionConfigFile.apply_config(parser, cfg, dest, found)


class OneSentenceParser(LightningArgumentParser):
    """Lightning's parser without the page of usage before every error.

    It allows only the classes in :mod:`~pks4_lightning.cli.allowed_imports`, and refuses YAML whose
    aliases expand to too many values.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        restrict_imports()
        set_loader("yaml", _load_checked_yaml, exceptions=(yaml.YAMLError,))
        super().__init__(*args, **kwargs)

    def add_class_arguments(self, *args: Any, **kwargs: Any) -> list[str]:
        """Add the arguments of a class; ``1`` is an integer wherever an integer is accepted.

        ``limit_train_batches 1`` is one batch, and ``1.0`` is all of them. jsonargparse tries the
        types of a union in order, and this order may vary: the cache of ``typing`` returns a union
        in the order in which the program first made an equal one. Nested classes, such as
        callbacks, are added by this method as well.

        Args:
            args: As in jsonargparse.
            kwargs: As in jsonargparse.
        """
        added: list[str] = super().add_class_arguments(*args, **kwargs)
        for action in self._actions:
            attributes = vars(action)
            members = get_args(attributes.get("_typehint"))
            if int in members and float in members:
                others = [member for member in members if member is not int]
                attributes["_typehint"] = functools.reduce(operator.or_, others, int)
        return added

    def add_config_option(self) -> None:
        """Add ``--config FILE``."""
        self.add_argument(
            *("-c", "--config"),
            action=_NamedConfig,
            help="a configuration: a YAML or JSON file, or a name from `pks4 configs`",
        )

    def parse_path(self, path: str | os.PathLike[str], *args: Any, **kwargs: Any) -> Namespace:
        """Parse a configuration file.

        Args:
            path: The file.
            args: As in jsonargparse.
            kwargs: As in jsonargparse.

        Raises:
            TypeError: If it is too large, is not valid UTF-8 or YAML, or contains no settings.
        """
        try:
            settings = load_config(Path(path).expanduser())
        except ValueError as error:
            raise TypeError(str(error)) from None  # jsonargparse treats TypeError as a user error
        if not isinstance(settings, dict):
            what = f"contains a {type(settings).__name__}, not settings"
            if settings is None:
                what = "is empty; it should contain settings such as `data:`"
            raise TypeError(f"The configuration '{path}' {what}.")
        for group in ("model", "data", "trainer"):
            if group in settings and settings[group] is None:
                raise TypeError(
                    f"The configuration '{path}' has nothing below '{group}'; leave the line out."
                )
        return super().parse_path(path, *args, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Exit with status 2 and one sentence that names the key.

        Args:
            message: What jsonargparse found wrong.
            ex: Its cause.
        """
        if not self.exit_on_error:  # jsonargparse tries alternatives and handles the error itself
            super().error(message, ex)
        self.exit(2, f"pks4: error: {self.one_sentence(message, ex)}\n")

    def one_sentence(self, message: str, ex: Exception | None = None) -> str:
        """Return the sentence for a mistake in the arguments.

        Args:
            message: What jsonargparse found wrong.
            ex: Its cause.
        """
        if explained := explain_wrong_value(message):
            return explained
        sentence = explain_denied_import(message) or " ".join(message.split()).rstrip(".")
        # For a union, drop the list of what each member would not accept.
        sentence = re.sub(r" Errors: - .*(?= Given value)", "", sentence)
        parser = getattr(ex, "subcommand_parser", None) or self
        return sentence + _way_out(sentence, parser)


def _way_out(sentence: str, parser: ArgumentParser) -> str:
    """Return the end of the sentence, such as the known key closest to an unknown one."""
    if "arguments are required" in sentence:
        return "; a configuration sets them: --config ssv2."
    unknown = re.search(
        r"unrecognized arguments: --([\w.]+)|does not accept option '([\w.]+)'", sentence
    )
    if unknown is None:
        return "."
    known = [
        option.removeprefix("--")
        for each in (parser, *_subparsers(parser))
        for option in each._option_string_actions
    ]
    name = unknown.group(1) or unknown.group(2)
    return did_you_mean(name, known, "`pks4 fit --help all` lists all", cutoff=0.8)


def _subparsers(parser: ArgumentParser) -> list[ArgumentParser]:
    """Return the parsers of the subcommands."""
    return [
        subparser
        for action in parser._actions
        if isinstance(action.choices, dict)
        for subparser in action.choices.values()
    ]
