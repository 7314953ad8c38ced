from itertools import pairwise

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from torch.amp import GradScaler

from pks4_lightning.cli.lightning_cli import run_cli
from pks4_lightning.training.callbacks.finite_guard import (
    FiniteGuard,
    NotFiniteError,
    gradient_norm,
)


class Watch(pl.Callback):
    """Records after every optimiser step: weights, rates, scale, whether it was skipped."""

    def __init__(self):
        self.steps = []

    def on_train_batch_end(self, trainer, pl_module, *_batch):
        if len(self.steps) < trainer.global_step:
            weights = torch.nn.utils.parameters_to_vector(pl_module.classifier.parameters())
            self.steps.append(
                {
                    "weights": weights.detach().clone(),
                    "rates": [group["lr"] for group in trainer.optimizers[0].param_groups],
                    "scale": trainer.precision_plugin.scaler.get_scale(),
                    "skipped": pl_module.update_skipped,
                    "counted": int(trainer.callback_metrics["train/skipped_updates"]),
                }
            )


def fit_in_half_precision(tiny_args, folder, *, start, guard, steps=12, backoff=0.5):
    """Train the tiny model under fp16 autocast, with an initial loss scale of ``start``."""
    cli = run_cli(["fit", *tiny_args], start=False)
    scaler = GradScaler("cpu", init_scale=start, growth_interval=10_000, backoff_factor=backoff)
    watch = Watch()
    trainer = pl.Trainer(
        accelerator="cpu",
        plugins=[MixedPrecision("16-mixed", "cpu", scaler=scaler)],
        callbacks=[guard, watch],
        default_root_dir=folder,
        max_steps=steps,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        log_every_n_steps=1,
    )
    try:
        trainer.fit(cli.model, cli.datamodule)
    except NotFiniteError as error:
        return watch.steps, error
    return watch.steps, None


class TestLossScaling:
    def test_a_skipped_update_leaves_weights_and_rate_unchanged(self, tiny_args, tmp_path):
        guard = FiniteGuard()
        steps, error = fit_in_half_precision(tiny_args, tmp_path, start=2.0**26, guard=guard)
        assert error is None
        skipped = [step["skipped"] for step in steps]
        num_skipped = sum(skipped)
        assert 2 <= num_skipped <= 10, "the fresh scale is too large"
        for before, after in pairwise(steps):
            moved = not torch.equal(after["weights"], before["weights"])
            assert moved != after["skipped"] or before["rates"][0] == 0
            assert (after["rates"] == before["rates"]) == after["skipped"]
            assert (after["scale"] < before["scale"]) == after["skipped"], "what the scaler did"
        assert steps[-1]["counted"] == num_skipped
        assert all(step["weights"].isfinite().all() for step in steps)

    def test_a_run_that_only_skips_ends_with_a_sentence(self, tiny_args, tmp_path):
        guard = FiniteGuard(max_consecutive_skips=3)
        steps, error = fit_in_half_precision(
            tiny_args, tmp_path, start=2.0**40, guard=guard, backoff=0.99
        )
        assert len(steps) == 3
        assert all(step["skipped"] for step in steps)
        assert "4 updates in a row" in str(error)
        assert "bf16-mixed" in str(error)


def sgd(*gradients):
    parameters = []
    for gradient in gradients:
        parameters.append(torch.nn.Parameter(torch.zeros(2)))
        parameters[-1].grad = None if gradient is None else torch.tensor(gradient)
    return torch.optim.SGD([{"params": parameters[:1]}, {"params": parameters[1:]}])


class TestGradientNorm:
    def test_is_that_of_all_groups_as_one_vector(self):
        assert gradient_norm(sgd([3.0, 0.0], None, [0.0, 4.0])) == 5

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
    def test_is_not_finite_if_one_number_is_not(self, bad):
        assert not gradient_norm(sgd([1.0, 1.0], [1.0, bad])).isfinite()

    def test_without_any_gradient_is_zero(self):
        assert gradient_norm(sgd(None, None)) == 0
