"""``pks4 share``: publish a classifier with its model card, for the Hugging Face hub."""

import argparse
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pks4_lightning.cli.errors import ArgumentsError

if TYPE_CHECKING:
    from pks4_lightning.hub.card import Measured

__all__ = ["add_arguments", "run"]

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The parser of the command.
    """
    parser.description = (
        "Publish a classifier: weights as safetensors, metadata as JSON and a model card with "
        "the test's results. Loading these files never executes code, and they contain no path of "
        "this machine."
    )
    parser.epilog = (
        "example:\n  pks4 share --ckpt_path runs/ssv2_b16_f8/checkpoints/best.ckpt --repo "
        "me/pks4-b16-ssv2 --license cc-by-nc-4.0"
    )
    parser.add_argument("--ckpt_path", type=Path, required=True, help="checkpoint of `pks4 fit`")
    to = parser.add_mutually_exclusive_group(required=True)
    to.add_argument("--folder", type=Path, help="new or empty; no network is needed")
    to.add_argument("--repo", metavar="ORG/NAME", help="upload them, after `hf auth login`")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument(
        "--metrics",
        type=Path,
        help="metrics.json of `pks4 test`; default: the run's, if it tested this checkpoint with "
        "the data and views of its training",
    )
    parser.add_argument(
        "--name", help="name of the model; default: that of the repository or folder"
    )
    parser.add_argument("--dataset", help="name of the data set; default: that of its format")
    parser.add_argument("--license", help="licence of the weights, such as apache-2.0")
    parser.add_argument("--tower_license", metavar="LICENSE", help="licence of the image tower")
    parser.add_argument("--data_license", metavar="LICENSE", help="licence of the data set")


def run(arguments: argparse.Namespace) -> None:
    """Publish a checkpoint.

    Args:
        arguments: The parsed arguments of the command.
    """
    if arguments.repo is not None and arguments.repo.count("/") != 1:
        raise ArgumentsError(f"--repo {arguments.repo} is not a hub id; use the form ORG/NAME.")
    from pks4_lightning.hub.card import CardFacts
    from pks4_lightning.hub.publish import publish, write_folder
    from pks4_lightning.training.checkpoints.reading import read_checkpoint
    from pks4_lightning.training.checkpoints.trained import read_trained

    trained = read_trained(arguments.ckpt_path)
    settings = read_checkpoint(arguments.ckpt_path).get("config", {})
    written_as = settings.get("data", {}).get("format") or "auto"
    facts = CardFacts(
        name=arguments.name or arguments.repo or arguments.folder.resolve().name,
        dataset=arguments.dataset or ("unnamed data set" if written_as == "auto" else written_as),
        license=arguments.license,
        tower_license=arguments.tower_license,
        data_license=arguments.data_license,
        measured=_measured(arguments.metrics, arguments.ckpt_path, settings),
    )
    if arguments.folder is not None:
        write_folder(arguments.folder, trained, facts)
        sys.stdout.write(f"Wrote {arguments.folder}.\n")
        return
    address = publish(arguments.repo, trained, facts, private=arguments.private)
    sys.stdout.write(f"Published at {address}.\n")


def _measured(
    given: Path | None, checkpoint: Path, settings: Mapping[str, Any]
) -> "Measured | None":
    """Return the results to publish: those of a given file, or of the run's test if they fit."""
    from pks4_lightning.hub.card import read_measured
    from pks4_lightning.training.scoring.made_by import made_otherwise

    path = given or checkpoint.resolve().parent.parent / "test" / "metrics.json"
    if given is None and not path.is_file():
        logger.warning("The card will report no test results: `pks4 test` writes metrics.json.")
        return None
    measured = read_measured(path)
    other = made_otherwise(measured.made_by, checkpoint, settings)
    if not other:
        return measured
    reason = f"{path} does not say which checkpoint was tested"
    if measured.made_by:
        reason = f"the test in {path} had another {', '.join(other)}"
    if given is not None:
        logger.warning("The card reports the results given, but %s.", reason)
        return measured
    logger.warning(
        "The card will report no test results: %s; run `pks4 test --ckpt_path %s`, or give the "
        "file to publish with --metrics.",
        *(reason, checkpoint),
    )
    return None
