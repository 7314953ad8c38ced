"""What docs/training.md says of small classes, early stopping and a loss of one's own."""

import re

import pytest
import torch

from pks4_lightning.cli.lightning_cli import run_cli
from tests.conftest import ROOT


@pytest.fixture
def own_loss(tmp_path, monkeypatch):
    """The module of the documentation, where Python finds it; and the arguments that name it."""
    text = (ROOT / "docs" / "training.md").read_text()
    (source,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(source.splitlines()) <= 25
    (tmp_path / "my_loss.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PKS4_ALLOW_IMPORTS", "my_loss")
    return ["--trainer.callbacks=my_loss.FocalLoss", "--trainer.callbacks.gamma=1.5"]


def test_a_loss_of_ones_own_trains_and_is_there_again_in_a_resumed_run(
    own_loss, tiny_args, tmp_path
):
    folder = f"--trainer.default_root_dir={tmp_path / 'run'}"
    plain = [
        "--model.recipe.mix_prob=0",
        "--model.recipe.label_smoothing=0",
        "--data.balanced=true",
    ]
    cli = run_cli(["fit", *tiny_args, *own_loss, *plain, folder, "--trainer.max_epochs=1"])
    logits = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    target = torch.eye(8)[:4]
    share = logits.softmax(-1).diagonal()
    expected = (-((1 - share) ** 1.5) * share.log()).mean()
    torch.testing.assert_close(cli.model.loss(logits, target), expected)
    assert float(cli.trainer.callback_metrics["train/loss"]) < 2.08  # log 8: the cross-entropy

    again = run_cli(
        ["fit", "--ckpt_path", str(tmp_path / "run" / "checkpoints" / "last.ckpt"),
         "--trainer.max_epochs=2", "--allow_changes=true"]
    )  # fmt: skip
    assert again.trainer.global_step == 4
    torch.testing.assert_close(again.model.loss(logits, target), expected)


def test_a_training_stops_early(tiny_args, tmp_path):
    stop = {"monitor": "val/top1", "mode": "max", "patience": 1, "min_delta": 1.0}
    cli = run_cli(
        [
            "fit",
            *tiny_args,
            "--trainer.callbacks=EarlyStopping",
            *(f"--trainer.callbacks.{name}={value}" for name, value in stop.items()),
            "--trainer.max_epochs=9",
            "--model.recipe.class_weights=balanced",
            f"--trainer.default_root_dir={tmp_path}",
        ]
    )
    assert cli.trainer.current_epoch == 2  # the first sets the mark, the second is no better
    assert cli.model.schedule.total_steps == 18
    assert (tmp_path / "checkpoints" / "best.ckpt").is_file()
