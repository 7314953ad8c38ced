"""``pks4 compare``: all methods on one task, with a table and a figure."""

import fcntl
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import matplotlib.image
import pytest
import yaml

from pks4_lightning.__main__ import main
from pks4_lightning.cli.configs import shipped_config
from pks4_lightning.cli.settings import resolve
from pks4_lightning.commands import compare as command
from pks4_lightning.experiments.methods.arms import METHODS, method_arms
from pks4_lightning.experiments.methods.report import method_reports
from pks4_lightning.experiments.plan import plan_trials
from pks4_lightning.experiments.results import read_results
from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.resolve import without_weights
from pks4_lightning.peers.building import NETWORKS
from tests.conftest import TINY


@pytest.mark.slow
def test_models_are_trained_tested_and_compared(tiny_args, tmp_path, capsys):
    out = tmp_path / "out"
    settings = [*tiny_args, "--trainer.max_epochs", "1"]
    args = ["compare", *settings, "--out", str(out), "--models", "pks4", "side4video"]
    assert main([*args, "--print"]) == 0
    last = capsys.readouterr().out.split("--trainer.default_root_dir ")[-2].split()[0]
    lock = Path(last) / "running.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert main(args) == 1  # another process is training this arm
    assert [each["method"] for each in json.loads((out / "comparison.json").read_text())] == [
        "pks4"
    ]
    assert "side4video" not in capsys.readouterr().out
    assert main(args) == 0
    table = capsys.readouterr().out
    results = read_results(out / "results.csv")
    assert [(each.row, each.seed) for each in results] == [("pks4", 0), ("side4video", 0)]
    reports = json.loads((out / "comparison.json").read_text())
    pks4, side = reports
    assert (pks4["method"], side["method"]) == ("pks4", "side4video")
    assert pks4["trained"] == pks4["parameters"]
    assert side["trained"] < side["parameters"]
    assert side["gflops"] < side["gflops_with_attention"]
    for report, result in zip(reports, results, strict=True):
        assert report["top1"] == pytest.approx(result.top1, abs=1e-4)
        assert report["top1_std"] is None
        assert report["seconds_per_step"] == pytest.approx(result.seconds / 2, abs=0.1)  # 2 steps
    for part in ("side4video", "MiB/clip", f"{side['trained']:,}", f"{100 * side['top1']:.1f}"):
        assert part in table
    assert matplotlib.image.imread(out / "comparison.png").std() > 0.05
    changed = (out / "results.csv").stat().st_mtime_ns
    assert main(args) == 0
    assert (out / "results.csv").stat().st_mtime_ns == changed

    # a made-up second seed
    arms = method_arms(["pks4"], resolve(settings))
    trials = plan_trials(arms, out=out, base=settings, seeds=[0, 1])
    both = [replace(results[0], top1=0.5), replace(results[0], top1=0.7, seed=1), results[1]]
    (report,) = method_reports(trials, both)
    assert report.top1 == pytest.approx(0.6)
    assert report.top1_std == pytest.approx(0.1414)  # with one degree of freedom
    assert report.seeds == [0, 1]


@pytest.mark.parametrize("tower", ["tiny", "b16", "l14"])
def test_every_method_fits_the_tower(tower):
    args = {
        "tiny": ["--config", str(TINY), "--data.root=x"],
        "b16": ["--config", "ssv2"],
        "l14": ["--config", "ssv2_l14_f16"],
    }[tower]
    arms = method_arms(METHODS, resolve(args))
    assert [arm.name for arm in arms] == list(METHODS)
    for arm in arms:
        settings = resolve([*args, *arm.arguments])
        config = PKS4Config(**settings["model"]["classifier"])
        assert (config.network or config.temporal) == (
            arm.name if arm.name != "pks4" else config.temporal
        )
        if tower == "tiny":
            build_classifier(without_weights(config))
    if tower != "tiny":
        by_name = {arm.name: arm.arguments for arm in arms}
        sizes = json.loads(by_name["side4video"][-1])
        assert sizes == {"num_layers": 12, "d_side": 128 if tower == "b16" else 320}
        assert json.loads(by_name["st_adapter"][-1]) == {"per_block": 2, "d_adapter": 384}
        assert set(NETWORKS) <= by_name.keys()


def test_without_a_configuration_it_makes_the_demos_videos(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    few = partial(command._GENERATE, num_train=2, num_val=2, num_test=2)
    monkeypatch.setattr(command, "_GENERATE", few)
    assert main(["compare", "--print"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8
    assert all("--config demo/pks4" in line for line in lines)
    assert sum("--model.classifier.temporal" in line for line in lines) == 6
    (of_its_own,) = (line for line in lines if "demo/methods/st_adapter" in line)
    assert "--model.classifier.temporal st_adapter" in of_its_own
    assert len(list((tmp_path / "runs/compare/data/videos").iterdir())) == 6


def test_a_method_alone_gets_the_settings_of_its_own_configuration(tmp_path):
    (tmp_path / "side4video.yaml").write_text(
        "model: {classifier: {temporal_config: {num_layers: 1, d_side: 8, d_head: 4}}, "
        "recipe: {base_lr: 0.5}}"
    )
    base = ["--config", str(TINY), "--data.root=x"]
    arms = method_arms(["side4video", "tsm"], resolve(base), own=str(tmp_path))
    side, tsm = (resolve([*base, *arm.arguments])["model"] for arm in arms)
    assert side["recipe"]["base_lr"] == 0.5
    assert side["classifier"]["temporal_config"] == {"num_layers": 1, "d_side": 8, "d_head": 4}
    assert tsm["recipe"] == resolve(base)["model"]["recipe"]


def test_other_methods_train_all_parameters_where_pks4_freezes_blocks():
    base = ["--config", "egogestar", "--data.root=x"]
    for arm in method_arms(["pks4", "tsm", "aim", "videomamba_ti"], resolve(base)):
        settings = resolve([*base, *arm.arguments])
        keeps = arm.name in ("pks4", "tsm")
        assert settings["model"]["recipe"]["trains"] == ("after_insertion" if keeps else "all")
        assert bool(settings["data"]["token_cache"]) == keeps


def test_the_demos_methods_are_built_as_their_configurations_say():
    base = ["--config", "demo/pks4", "--data.root=x"]
    arms = method_arms(METHODS, resolve(base), own="demo/methods")
    found = {arm.name: resolve([*base, *arm.arguments])["model"] for arm in arms}
    for settings in found.values():
        build_classifier(without_weights(PKS4Config(**settings["classifier"])))
    for name in ("st_adapter", "aim", "videomamba_ti"):
        stated = yaml.safe_load(shipped_config(f"demo/methods/{name}").read_text())["model"]
        for section, values in stated.items():
            for key, value in values.items():
                assert found[name][section][key] == value


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--models", "swin"], "There is no method 'swin'; the methods are pks4, st_adapter"),
        (["--model.classifier.temporal=aim"], "these are of aim: leave"),
        (["--data.root=nowhere"], "There is no data set in nowhere; see"),
        (["--own=nowhere"], "There is no configuration of a method in nowhere; --own needs"),
    ],
)
def test_user_errors_are_one_sentence(tiny_args, tmp_path, arguments, sentence, capsys):
    assert main(["compare", *tiny_args, "--out", str(tmp_path), *arguments]) == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_every_method_with_a_path_through_time_learns_the_demo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "--jobs", "2"]) == 0
    reports = json.loads((tmp_path / "runs/compare/comparison.json").read_text())
    top1 = {report["method"]: report["top1"] for report in reports}
    assert top1.pop("frame_average") <= 0.60
    assert len(top1) == 7
    assert min(top1.values()) >= 0.95, top1
