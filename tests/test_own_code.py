"""User code as in docs/extending.md, and early stopping as in docs/training.md."""

import json
import re
import sys

import pytest
import torch

import pks4_lightning
from pks4_lightning.__main__ import main
from pks4_lightning.cli.lightning_cli import run_cli
from tests.conftest import ROOT

SHORT = ["--trainer.max_epochs=1", "--model.recipe.mix_prob=0"]


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Write a module from the documentation to the import path, and allow settings to name it."""

    def own(name):
        text = (ROOT / "docs" / "extending.md").read_text()
        ((source,),) = [
            re.findall(rf"complete\s`{name}\.py`:\n\n```python\n(.*?)```", text, re.DOTALL)
        ]
        assert len(source.splitlines()) <= 30
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("PKS4_ALLOW_IMPORTS", name)
        monkeypatch.delitem(sys.modules, name, raising=False)  # left by another test

    return own


def error_of(arguments, capsys):
    try:
        status = main(arguments)
    except SystemExit as end:
        status = end.code
    assert status in (1, 2)
    return capsys.readouterr().err.splitlines()[-1]


def test_a_custom_temporal_module_trains_tests_and_is_exported(
    own, tiny_args, tmp_path, monkeypatch, capsys
):
    own("my_scanner")
    named = "--model.classifier.scanner=my_scanner.TemporalConv"
    run = [*tiny_args, *SHORT, f"--trainer.default_root_dir={tmp_path / 'run'}", named]
    cli = run_cli(["fit", *run])
    scanner = cli.model.classifier.pks4.scanner
    assert type(scanner).__name__ == "TemporalConv"
    assert scanner.conv.weight.abs().max() > 0, "it began at zero"
    assert "TemporalConv" in cli.model.classifier.parts()

    checkpoint = tmp_path / "run" / "checkpoints" / "best.ckpt"
    assert main(["test", f"--ckpt_path={checkpoint}"]) == 0
    exported = tmp_path / "weights"
    assert main(["export-weights", f"--ckpt_path={checkpoint}", f"--out={exported}"]) == 0
    video = torch.randint(256, (9, 40, 40, 3), dtype=torch.uint8)
    models = [pks4_lightning.load(source, device="cpu") for source in (checkpoint, exported)]
    assert models[0].predict(video) == models[1].predict(video)
    with pytest.raises(ValueError, match="TemporalConv has no initial_state and step"):
        _ = models[0].classifier.pks4.delay

    monkeypatch.delenv("PKS4_ALLOW_IMPORTS")
    capsys.readouterr()
    fresh = ["fit", *run, f"--trainer.default_root_dir={tmp_path / 'fresh'}"]
    for command in (["test", f"--ckpt_path={checkpoint}"], fresh):
        said = error_of(command, capsys)
        assert said.endswith("allow it with PKS4_ALLOW_IMPORTS=my_scanner in the environment.")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("my_scaner.TemporalConv", "allow it with PKS4_ALLOW_IMPORTS=my_scaner in"),
        ("my_scanner.Conv", "my_scanner has no class Conv"),
        ("my_scanner.nn.Module.x.Y", "there is no module"),
        ("my_scanner.Path", "is not an nn.Module"),
        (
            "mmaba",
            "scanner (mmaba) is neither one of mamba, none, gru, attention nor the path of a class",
        ),
        ("os.system", "allow it with PKS4_ALLOW_IMPORTS=os in the environment"),
    ],
)
def test_a_wrong_name_is_one_sentence(own, tiny_args, tmp_path, capsys, name, said):
    own("my_scanner")
    with (tmp_path / "my_scanner.py").open("a") as file:
        file.write("\nfrom pathlib import Path\n")
    run = [
        *tiny_args,
        f"--trainer.default_root_dir={tmp_path}",
        f"--model.classifier.scanner={name}",
    ]
    assert said in error_of(["fit", *run], capsys)


def test_a_custom_augmentation_changes_training_clips_alone(own, tiny_args, tmp_path):
    own("my_augmentation")
    logged = {}
    erase = ["--trainer.callbacks=my_augmentation.RandomErasing"]
    erase += ["--trainer.callbacks.probability=1", "--trainer.callbacks.share=1"]
    slow = ["--model.recipe.base_lr=1e-9", "--model.recipe.min_lr=1e-10"]
    frozen = ["--model.recipe.trains=head", *slow, *SHORT]
    for name, more in {"plain": [], "erased": erase}.items():
        folder = f"--trainer.default_root_dir={tmp_path / name}"
        cli = run_cli(["fit", *tiny_args, *frozen, *more, folder])
        logged[name] = {k: float(v) for k, v in cli.trainer.callback_metrics.items()}
    assert logged["plain"]["val/loss"] == pytest.approx(logged["erased"]["val/loss"], abs=1e-6)
    assert abs(logged["plain"]["train/loss"] - logged["erased"]["train/loss"]) > 1e-5

    (callback,) = [each for each in cli.trainer.callbacks if type(each).__name__ == "RandomErasing"]
    callback.share = 0.25
    video = torch.ones(2, 3, 4, 32, 32)
    callback.on_train_batch_start(cli.trainer, cli.model, {"video": video}, 0)
    assert (video == 0).sum().item() == 2 * 3 * 4 * 16 * 16
    assert (video == video[:, :, :1]).all(), "the same rectangle in all frames"


def test_a_custom_logger_gets_numbers_and_figures(own, tiny_args, tmp_path):
    own("my_logger")
    logs = tmp_path / "logs"
    given = ["--trainer.logger=my_logger.JsonLines", f"--trainer.logger.folder={logs}"]
    run = [*tiny_args, *SHORT, f"--trainer.default_root_dir={tmp_path / 'run'}"]
    cli = run_cli(["fit", *run, *given])
    lines = [json.loads(line) for line in (logs / "log.jsonl").read_text().splitlines()]
    assert {"train/loss", "val/top1", "step"} <= {key for line in lines for key in line}
    (top1,) = [line["val/top1"] for line in lines if "val/top1" in line]
    assert top1 == float(cli.trainer.callback_metrics["val/top1"])
    pictures = sorted(path.name for path in logs.glob("*.png"))
    assert pictures == ["val_clips_2.png", "val_confusion_2.png"]


def test_a_custom_loss_trains_and_is_restored_in_a_resumed_run(own, tiny_args, tmp_path):
    own("my_loss")
    folder = f"--trainer.default_root_dir={tmp_path / 'run'}"
    focal = ["--trainer.callbacks=my_loss.FocalLoss", "--trainer.callbacks.gamma=1.5"]
    plain = [
        "--model.recipe.mix_prob=0",
        "--model.recipe.label_smoothing=0",
        "--data.balanced=true",
    ]
    cli = run_cli(["fit", *tiny_args, *focal, *plain, folder, "--trainer.max_epochs=1"])
    logits = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    target = torch.eye(8)[:4]
    share = logits.softmax(-1).diagonal()
    expected = (-((1 - share) ** 1.5) * share.log()).mean()
    torch.testing.assert_close(cli.model.loss(logits, target), expected)
    assert float(cli.trainer.callback_metrics["train/loss"]) < 2.08  # log 8: chance level

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
    assert cli.trainer.current_epoch == 2  # the second epoch is not better than the first
    assert cli.model.schedule.total_steps == 18
    assert (tmp_path / "checkpoints" / "best.ckpt").is_file()
