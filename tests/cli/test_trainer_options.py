"""Lightning's options either work or are refused at the start in one sentence."""

import json

import pytest

from pks4_lightning.__main__ import main

# refused options, and words of the error message
REFUSED = {
    "barebones": (["--trainer.barebones=true"], "--trainer.enable_checkpointing false"),
    "weights": (
        ["--trainer.callbacks+=StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.01"],
        "--trainer.callbacks+=EMAWeightAveraging",
    ),
    "rate": (["--trainer.callbacks+=LearningRateFinder"], "--model.recipe.base_lr"),
    "monitor": (["--best_checkpoint.monitor=val/top_1"], "did you mean val/top1?"),
    "stopping": (
        ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=x"],
        "EarlyStopping monitors x, which is not logged during training; it logs train/loss, ",
    ),
    "interval": (["--trainer.val_check_interval=100"], "(100) must be less than or equal to"),
    "never": (["--trainer.check_val_every_n_epoch=0"], "check_val_every_n_epoch is 0"),
    "nothing": (["--trainer.accumulate_grad_batches=0"], "accumulate_grad_batches is 0"),
    "strategy": (["--trainer.strategy=nonsense"], "invalid strategy name: `strategy='nonsense'`"),
    "fsdp": (["--trainer.strategy=fsdp"], "requires a GPU accelerator"),
    "profiler": (["--trainer.profiler=nonsense"], "'simple', 'advanced'"),
    "tpu": (["--trainer.accelerator=tpu"], "torch_xla"),
    "logger": (["--trainer.logger=WandbLogger"], "WandbLogger: Requirement 'wandb"),
    "precision": (["--trainer.precision=transformer-engine"], "transformer_engine"),
    "classes": (["--model.classifier.num_classes=1"], "needs at least 2 classes"),
    "sampler": (
        [
            "--data.val_sampler=pks4_lightning.data.clips.sampling.CentredSegmentClipSampler",
            "--data.val_sampler.num_frames=0",
        ],
        "num_frames is 0; it must be at least 1.",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_options_are_refused_at_the_start(name, tiny_args, tmp_path, capsys):
    options, words = REFUSED[name]
    folder = f"--trainer.default_root_dir={tmp_path / 'run'}"
    assert main(["fit", *tiny_args, folder, *options]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("pks4: error: ")
    assert words in said
    assert not list((tmp_path / "run").rglob("*.ckpt"))


@pytest.mark.filterwarnings("ignore:You're using the WeightAveraging callback:UserWarning")
@pytest.mark.parametrize(
    "options",
    [
        ["--trainer.callbacks+=EMAWeightAveraging"],
        ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/loss"],
        ["--trainer.detect_anomaly=true", "--trainer.enable_progress_bar=false"],
        ["--trainer.logger=false"],
    ],
    ids=lambda options: options[0],
)
def test_supported_options_train(options, tiny_args, tmp_path):
    folder = f"--trainer.default_root_dir={tmp_path / 'run'}"
    assert main(["fit", *tiny_args, folder, "--trainer.max_epochs=1", *options]) == 0
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()


def test_a_training_may_keep_no_checkpoints(tiny_args, tmp_path):
    options = ["--trainer.enable_checkpointing=false", "--trainer.max_epochs=1"]
    run = tmp_path / "run"
    assert main(["fit", *tiny_args, f"--trainer.default_root_dir={run}", *options]) == 0
    assert not list(run.rglob("*.ckpt"))
    assert json.loads((run / "checkpoints" / "cost.json").read_text())["seconds"] > 0
