"""Numbers and figures of a run reach its logger."""

import logging
import sqlite3
import sys

import pytest
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger, WandbLogger
from matplotlib.figure import Figure

from pks4_lightning.cli.lightning_cli import run_cli
from pks4_lightning.training.callbacks.validation_pictures import ValidationPictures
from pks4_lightning.training.figures import log_figure, takes_figures
from pks4_lightning.training.trackio_logger import TrackioLogger


def fit(tiny_args, tmp_path, *logger):
    folder = f"--trainer.default_root_dir={tmp_path / 'run'}"
    run_cli(["fit", *tiny_args, folder, "--trainer.max_epochs=1", *logger])


class Calls:
    """Stand-in for the client of a logger's service."""

    def __init__(self):
        self.made = []

    def log_figure(self, *given):
        self.made.append(given)


class WithoutMlflow(MLFlowLogger):
    """Lightning's logger without the package that its constructor requires."""

    run_id = "run"

    def __init__(self):
        self.client = Calls()

    @property
    def experiment(self):
        return self.client


class WithoutWandb(WandbLogger):
    """Lightning's logger without the package that its constructor requires."""

    def __init__(self):
        self.made = []

    def log_image(self, key, images, step=None):
        self.made.append((key, images, step))


def test_each_service_gets_a_figure_as_it_takes_them(tmp_path):
    figure, mlflow, wandb, other = Figure(), WithoutMlflow(), WithoutWandb(), CSVLogger(tmp_path)
    assert [takes_figures(each) for each in (mlflow, wandb, other)] == [True, True, False]
    log_figure([mlflow, wandb, other], "val/confusion", figure, 7)
    assert mlflow.client.made == [("run", figure, "val/confusion/00000007.png")]
    assert wandb.made == [("val/confusion", [figure], 7)]


def test_a_logger_without_figures_is_named(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="pks4_lightning")
    loggers = [TensorBoardLogger(tmp_path), CSVLogger(tmp_path)]
    trainer = Trainer(logger=loggers, accelerator="cpu", default_root_dir=tmp_path)
    ValidationPictures().on_fit_start(trainer, LightningModule())
    (said,) = [each.message for each in caplog.records if each.name.startswith("pks4_lightning")]
    assert said.startswith("CSVLogger does not support figures: the confusion matrix and the sheet")


def test_trackio_is_asked_for_in_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(ValueError, match="pip install trackio"):
        TrackioLogger()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_weights_and_biases_offline(tiny_args, tmp_path):
    pytest.importorskip("wandb")
    options = ["--trainer.logger.offline=true", f"--trainer.logger.save_dir={tmp_path}"]
    fit(tiny_args, tmp_path, "--trainer.logger=WandbLogger", *options)
    pictures = {path.name.partition("_")[0] for path in tmp_path.rglob("images/val/*.png")}
    assert pictures == {"clips", "confusion"}


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_mlflow_in_files(tiny_args, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    options = ["--trainer.logger=MLFlowLogger", f"--trainer.logger.save_dir={tmp_path / 'ml'}"]
    fit(tiny_args, tmp_path, *options)
    assert next((tmp_path / "ml").rglob("metrics/val/top1")).is_file()
    pictures = {path.parent.name for path in (tmp_path / "ml").rglob("artifacts/val/*/*.png")}
    assert pictures == {"clips", "confusion"}


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_trackio_on_this_machine(tiny_args, tmp_path, monkeypatch):
    # trackio reads the folder at import
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    name = "pks4_lightning.training.trackio_logger.TrackioLogger"
    fit(tiny_args, tmp_path, f"--trainer.logger={name}", "--trainer.logger.run_name=first")
    assert len(list((tmp_path / "trackio" / "media").rglob("*.png"))) == 2
    database = sqlite3.connect(tmp_path / "trackio" / "pks4.db")
    rows = str(database.execute("select * from metrics").fetchall())
    assert all(key in rows for key in ("val/top1", "train/loss", "val/confusion"))
