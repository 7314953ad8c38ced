"""Write the folder of a published classifier, and upload it to the hub."""

import tempfile
from pathlib import Path

from huggingface_hub import HfApi

from pks4_lightning.files import replaced_folder
from pks4_lightning.hub.card import CardFacts, write_card
from pks4_lightning.hub.transformers_model import transformers_config
from pks4_lightning.models.pretrained import DESCRIPTION, WEIGHTS
from pks4_lightning.models.towers.files import hub_reason
from pks4_lightning.training.checkpoints.trained import Trained, save_trained

__all__ = ["publish", "write_folder"]

_FILES = (WEIGHTS, DESCRIPTION, "config.json", "README.md")


def write_folder(folder: Path, trained: Trained, facts: CardFacts) -> None:
    """Write a classifier in the form in which it is published: weights, metadata, model card.

    Args:
        folder: New, empty, or with only files of an earlier call that nobody has changed.
        trained: The classifier.
        facts: Further facts for the card.

    Raises:
        FileExistsError: If the folder contains anything else.
    """
    with replaced_folder(folder) as unfinished:
        save_trained(unfinished, trained)
        described = transformers_config(trained.config, trained.clip)
        described.to_json_file(unfinished / "config.json", use_diff=True)
        write_card(unfinished / "README.md", trained, facts)


def publish(repo: str, trained: Trained, facts: CardFacts, *, private: bool) -> str:
    """Upload a classifier with the token of `hf auth login`.

    Args:
        repo: Hub id; created if necessary.
        trained: The classifier.
        facts: Further facts for the card.
        private: Make a new repository private.

    Returns:
        The address of the repository.

    Raises:
        OSError: If the hub refuses it.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "classifier"
        write_folder(folder, trained, facts)
        try:
            address = HfApi().create_repo(repo, private=private, exist_ok=True)
            HfApi().upload_folder(
                repo_id=repo, folder_path=folder, allow_patterns=list(_FILES),
                commit_message="Classifier of pks4_lightning",
            )  # fmt: skip
        except Exception as error:
            raise OSError(
                f"{repo} cannot be published ({hub_reason(error, repo)}); `hf auth login` stores "
                "a token with write access, and --folder writes the same files without a network."
            ) from error
    return str(address)
