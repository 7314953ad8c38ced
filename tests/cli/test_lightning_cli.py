import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from pks4_lightning.__main__ import main
from pks4_lightning.cli.errors import user_error
from pks4_lightning.cli.lightning_cli import PKS4CLI, differences, run_cli
from pks4_lightning.locks import hold_lock
from pks4_lightning.training.task import VideoClassificationTask
from tests.conftest import ROOT

# these are partial; tests/test_flexible.py, tests/test_protocols.py and commands/test_compare.py
# test them
OVERRIDES = (
    *(ROOT / "configs" / name for name in ("flexible", "protocols", "towers")),
    *(ROOT / "pks4_lightning" / "demo" / "configs" / name for name in ("methods", "overrides")),
)
FOLDERS = ("configs", "pks4_lightning/demo/configs", "tests/configs")
CONFIGS = sorted(
    path
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*.yaml")
    if path.parent not in OVERRIDES
)
TINY_BACKBONE = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "projection_dim": 12,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def state(folder, name="last.ckpt"):
    return torch.load(folder / "checkpoints" / name, weights_only=True)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_config_builds(path, tmp_path):
    settings = yaml.safe_load(path.read_text())
    classifier = settings["model"]["classifier"]
    # the real depth, so that `insert_after` is checked; the rest of the backbone tiny
    depth = {"L": 24, "B": 12}["L" if "large" in classifier.get("backbone", "") else "B"]
    tiny = json.dumps({**TINY_BACKBONE, "num_hidden_layers": depth})
    if "network" in classifier:
        tiny = json.dumps({"hidden_size": 16, "num_hidden_layers": 2, "image_size": 32})
    cli = run_cli(
        [
            "fit",
            f"--config={path}",
            "--model.classifier.pretrained=false",
            f"--model.classifier.backbone_config={tiny}",
            f"--trainer.default_root_dir={tmp_path}",
            "--trainer.precision=32",
        ],
        start=False,
    )
    cli.model.trainer = cli.trainer
    cli.model.configure_model()
    video = torch.randn(1, 3, cli.datamodule.num_frames, 32, 32)
    assert cli.model(video).shape == (1, classifier["num_classes"])


def test_training_writes_the_documented_files(trained):
    files = {str(path.relative_to(trained)) for path in trained.rglob("*") if path.is_file()}
    assert {
        "config.yaml",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "checkpoints/resolved.yaml",
    } <= files
    assert "failed_train.txt" not in files
    resolved = yaml.safe_load((trained / "checkpoints/resolved.yaml").read_text())
    assert (resolved["accumulation"], resolved["videos_per_step"]) == (2, 8)
    assert (resolved["steps_per_epoch"], resolved["total_steps"]) == (2, 4)
    assert resolved["peak_lr"]["new"] == pytest.approx(0.032 * 8 / 256)
    assert resolved["peak_lr"]["layer_00"] == pytest.approx(0.001 * 0.7**3)
    assert state(trained)["global_step"] == resolved["total_steps"], "it did accumulate"


def test_a_short_training_logs_its_loss_and_ends_with_the_next_command(
    tiny_args, tmp_path, caplog, recwarn, monkeypatch
):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.chdir(tmp_path)
    short = ["--trainer.max_epochs=1", "--trainer.log_every_n_steps=50"]
    assert main(["fit", *tiny_args, "--trainer.default_root_dir=run", *short]) == 0
    events = EventAccumulator("run").Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1], "an epoch is two steps"
    assert not [each for each in recwarn if "logging interval" in str(each.message)]
    command = caplog.messages[-1].split("`")[1]
    assert command == "pks4 test --ckpt_path run/checkpoints/best.ckpt"
    assert main(command.split()[1:]) == 0
    assert main(["fit", *tiny_args, "--trainer.fast_dev_run=true"]) == 0
    assert "pks4 test" not in caplog.messages[-1]


def test_tensorboard_holds_losses_rates_metrics_and_pictures(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained), size_guidance={"images": 0}).Reload()
    tags = events.Tags()
    assert {"train/loss", "val/loss", "val/top1", "val/top5"} <= set(tags["scalars"])
    assert {"val/confusion", "val/clips"} <= set(tags["images"])
    rates = [event.value for event in events.Scalars("lr-AdamW/new")]
    assert rates[0] == 0.0, "the warm-up starts from zero"
    assert len(events.Scalars("val/top1")) == 2, "one per epoch, none for the sanity check"


def test_checkpoint_alone_reloads_bit_for_bit(trained):
    saved = state(trained)
    task = VideoClassificationTask.load_from_checkpoint(
        trained / "checkpoints/last.ckpt", weights_only=True
    )
    torch.testing.assert_close(dict(task.state_dict()), saved["state_dict"], rtol=0, atol=0)
    assert task.label_names[0] == "Sliding something to the left"
    assert task.recipe.base_lr == 0.032


def test_checkpoint_alone_is_enough_to_test(trained, tmp_path):
    checkpoint = trained / "checkpoints" / "best.ckpt"
    status = main(["test", f"--ckpt_path={checkpoint}", f"--trainer.default_root_dir={tmp_path}"])
    assert status == 0
    predictions = rows(tmp_path / "test" / "predictions.csv")
    metrics = json.loads((tmp_path / "test" / "metrics.json").read_text())
    assert len({row["video_path"] for row in predictions}) == len(predictions) == 11
    right = sum(row["label"] == row["top1"] for row in predictions)
    assert metrics["test/video_top1"] == pytest.approx(right / 11, abs=1e-6)
    in_five = sum(row["label"] in [row[f"top{k}"] for k in range(1, 6)] for row in predictions)
    assert metrics["test/video_top5"] == pytest.approx(in_five / 11, abs=1e-6)
    assert metrics["num_scored"] == metrics["num_listed"] == 11
    assert (metrics["split"], metrics["annotations"]) == ("test", "labels/test.json")


def test_views_are_averaged_as_softmax_per_video(trained, tmp_path):
    checkpoint = trained / "checkpoints" / "best.ckpt"
    views = ["--data.num_clips=2", "--data.num_crops=3", f"--trainer.default_root_dir={tmp_path}"]
    cli = run_cli(["test", f"--ckpt_path={checkpoint}", *views])
    batch = next(iter(cli.datamodule.test_dataloader()))
    assert batch["video_index"].tolist() == [0] * 6
    task = VideoClassificationTask.load_from_checkpoint(checkpoint, weights_only=True).eval()
    with torch.no_grad():
        logits = task(cli.datamodule.to_model_input(batch))
    score, index = logits.softmax(-1).mean(0).max(0)
    first = rows(tmp_path / "test" / "predictions.csv")[0]
    assert first["top1"] == cli.model.label_names[index]
    assert float(first["score1"]) == pytest.approx(float(score), abs=2e-6)


def test_every_listed_video_is_accounted_for(trained, motion_set, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(motion_set, root)
    listed = [entry["id"] for entry in json.loads((root / "labels" / "test.json").read_text())]
    for name in listed[2:4]:
        (root / "videos" / f"{name}.webm").write_bytes(b"this is no video")
    (root / "videos" / f"{listed[7]}.webm").unlink()
    status = main(
        [
            "test",
            f"--ckpt_path={trained / 'checkpoints' / 'best.ckpt'}",
            f"--data.root={root}",
            "--data.allow_missing=0.1",
            f"--trainer.default_root_dir={tmp_path / 'run'}",
        ]
    )
    folder = tmp_path / "run" / "test"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert status == 0
    counts = [metrics[f"num_{kind}"] for kind in ("listed", "missing", "failed", "scored")]
    assert counts == [11, 1, 2, 8]
    predictions = rows(folder / "predictions.csv")
    right = sum(row["label"] == row["top1"] for row in predictions)
    assert len(predictions) == 8
    assert metrics["test/video_top1"] == round(right / 8, 6)
    assert metrics["test/video_top1_of_listed"] == round(right / 11, 6)
    named = {Path(row["video_path"]).stem: row["reason"] for row in rows(folder / "failed.csv")}
    assert set(named) == {listed[2], listed[3], listed[7]}
    assert named[listed[7]] == "missing"


@pytest.fixture
def permuted(motion_set, tmp_path):
    """The same videos with a label list that numbers the classes in another order."""
    root = tmp_path / "permuted"
    shutil.copytree(motion_set, root)
    path = root / "labels" / "labels.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps({name: str((int(i) + 3) % 8) for name, i in index.items()}))
    return root


def test_other_label_order_is_refused_or_remapped_by_name(
    trained, motion_set, permuted, tmp_path, capsys
):
    checkpoint = f"--ckpt_path={trained / 'checkpoints' / 'best.ckpt'}"
    scored = {}
    for name, root in (("same", motion_set), ("other", permuted)):
        args = ["test", checkpoint, f"--data.root={root}", "--data.remap_labels=true"]
        assert main([*args, f"--trainer.default_root_dir={tmp_path / name}"]) == 0
        scored[name] = [
            (Path(row.pop("video_path")).name, *row.values())
            for row in rows(tmp_path / name / "test" / "predictions.csv")
        ]
    assert scored["same"] == scored["other"]
    args = ["test", checkpoint, f"--data.root={permuted}"]
    sentence = refused(capsys, [*args, f"--trainer.default_root_dir={tmp_path}"])
    assert "Class 0 is" in sentence
    assert "--data.remap_labels true" in sentence


def test_views_can_be_scored_again(trained, tmp_path, capsys):
    checkpoint = trained / "checkpoints" / "best.ckpt"
    views = ["--data.num_clips=2", f"--trainer.default_root_dir={tmp_path}"]
    main(["test", f"--ckpt_path={checkpoint}", *views])
    metrics = json.loads((tmp_path / "test" / "metrics.json").read_text())
    capsys.readouterr()
    assert main(["rescore", str(tmp_path / "test" / "view_scores.npz"), "--json"]) == 0
    scored = {row["views"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(scored) == {"all", "0", "1"}
    assert scored["all"]["top1"] == metrics["test/video_top1"]
    assert scored["all"]["num_videos"] == 11


def test_the_command_line_overrides_the_checkpoint_and_logs_it(trained, tmp_path, caplog):
    checkpoint = trained / "checkpoints" / "best.ckpt"
    with caplog.at_level("INFO", logger="pks4_lightning"):
        cli = run_cli(
            [
                "validate",
                f"--ckpt_path={checkpoint}",
                "--data.batch_size=3",
                f"--trainer.default_root_dir={tmp_path}",
            ]
        )
    assert cli.datamodule.batch_size == 3
    assert cli.datamodule.num_frames == 4, "the checkpoint's, not the default"
    messages = [record.getMessage() for record in caplog.records if "differs" in record.message]
    assert "differs from the checkpoint: data.batch_size: 4 -> 3" in messages
    assert len(messages) == 2, "besides that only the folder"


def test_a_configuration_file_overrides_the_checkpoint(trained, tmp_path, caplog):
    file = tmp_path / "other.yaml"
    file.write_text(f"data: {{batch_size: 3}}\ntrainer: {{default_root_dir: {tmp_path}}}\n")
    with caplog.at_level("INFO", logger="pks4_lightning"):
        cli = run_cli(
            [
                "validate",
                f"--ckpt_path={trained / 'checkpoints' / 'best.ckpt'}",
                f"--config={file}",
                "--data.batch_size=2",
            ]
        )
    assert cli.datamodule.batch_size == 2, "the command line's, then the file's"
    assert cli.trainer.default_root_dir == str(tmp_path), "the file's, not the checkpoint's"
    assert cli.datamodule.num_frames == 4, "the checkpoint's, which nobody contradicts"
    assert "differs from the checkpoint: data.batch_size: 4 -> 2" in caplog.messages


@pytest.mark.parametrize("source", ["command line", "file"])
def test_best_and_last_are_looked_up_in_the_folder_of_the_run(trained, tmp_path, source, caplog):
    file = tmp_path / "only_the_run.yaml"
    options = [f"--trainer.default_root_dir={trained}", "--ckpt_path=best"]
    if source == "file":
        file.write_text(f"trainer: {{default_root_dir: {trained}}}\nckpt_path: last\n")
        options = [f"--config={file}"]
    name = {"file": "last", "command line": "best"}[source]
    with caplog.at_level("INFO", logger="pks4_lightning"):
        cli = run_cli(["validate", *options])
    assert cli.config["validate"].ckpt_path == str(trained / "checkpoints" / f"{name}.ckpt")
    assert cli.model.config.num_classes == 8, "the settings come along"
    assert not [line for line in caplog.messages if line.startswith("differs")]


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`:UserWarning")
def test_a_run_continues_from_its_folder_alone(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    root = f"--trainer.default_root_dir={tmp_path / 'run'}"
    cli = run_cli(["fit", root, "--ckpt_path=last"])
    assert cli.trainer.global_step == 4, "the model, the data and the end of the schedule"


def test_predict_labels_videos_without_labels(trained, motion_set, tmp_path, capsys):
    status = main(
        [
            "predict",
            f"--ckpt_path={trained / 'checkpoints' / 'best.ckpt'}",
            f"--data.predict={motion_set / 'videos' / '1.webm'}",
            f"--trainer.default_root_dir={tmp_path}",
        ]
    )
    (row,) = rows(tmp_path / "predict" / "predictions.csv")
    assert status == 0
    assert row["video_path"].endswith("1.webm")
    assert row["label"] == ""
    assert 1 / 8 < float(row["score1"]) < 1
    assert "1.webm" in capsys.readouterr().out


# Lightning warns because the callback that stopped the first half is absent in the second
@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`:UserWarning")
def test_resumed_training_ends_as_an_uninterrupted_one(tiny_args, trained, tmp_path):
    folder = [f"--trainer.default_root_dir={tmp_path}"]
    run_cli(["fit", *tiny_args, *folder, "--trainer.max_epochs=2", "--trainer.limit_val_batches=2"])
    whole = state(tmp_path)
    half = tmp_path / "half"
    folder = [f"--trainer.default_root_dir={half}", "--trainer.limit_val_batches=2"]
    # the schedule is that of the whole run: a callback stops training early
    run_cli(["fit", *tiny_args, *folder, "--trainer.max_epochs=2", *stop_after_first_epoch()])
    assert state(half)["epoch"] == 0
    run_cli(["fit", *tiny_args, *folder, "--trainer.max_epochs=2", "--ckpt_path=last"])
    resumed = state(half)
    torch.testing.assert_close(resumed["state_dict"], whole["state_dict"], rtol=0, atol=0)
    assert resumed["lr_schedulers"] == whole["lr_schedulers"]


def stop_after_first_epoch():
    return [
        "--trainer.callbacks+=lightning.pytorch.callbacks.EarlyStopping",
        "--trainer.callbacks.monitor=val/loss",
        "--trainer.callbacks.stopping_threshold=1000.0",
    ]


# the warning concerns sharded models
@pytest.mark.filterwarnings("ignore:You're using the WeightAveraging callback:UserWarning")
def test_averaged_weights_are_an_option(tiny_args, tmp_path):
    run_cli(
        [
            "fit",
            *tiny_args,
            f"--trainer.default_root_dir={tmp_path}",
            "--trainer.max_epochs=1",
            "--trainer.callbacks+=lightning.pytorch.callbacks.EMAWeightAveraging",
            "--trainer.callbacks.decay=0.5",
        ]
    )
    saved = state(tmp_path)
    averaged, current = saved["state_dict"], saved["current_model_state"]
    assert set(averaged) == {name for name in current if not name.startswith("n_averaged")}
    name = "classifier.head.weight"
    assert not torch.equal(averaged[name], current[name])


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


@pytest.mark.parametrize(
    ("precision", "accelerator"),
    [
        ("bf16-mixed", "cpu"),
        # Lightning has no float16 on a CPU
        pytest.param("16-mixed", "gpu", marks=[pytest.mark.gpu, needs_gpu]),
        pytest.param("bf16-mixed", "gpu", marks=[pytest.mark.gpu, needs_gpu]),
    ],
)
def test_trains_in_mixed_precision(tiny_args, tmp_path, precision, accelerator):
    run_cli(
        [
            "fit",
            *tiny_args,
            f"--trainer.default_root_dir={tmp_path}",
            f"--trainer.precision={precision}",
            f"--trainer.accelerator={accelerator}",
            "--trainer.max_epochs=1",
        ]
    )
    weights = state(tmp_path)["state_dict"]
    assert all(
        tensor.dtype == torch.float32 for tensor in weights.values() if tensor.is_floating_point()
    )
    assert all(tensor.isfinite().all() for tensor in weights.values())


def test_differences_name_the_key_and_both_values():
    saved = {"data": {"num_clips": 2, "root": "a"}, "seed_everything": 0}
    final = {"data": {"num_clips": 1, "root": "a", "new": 3}, "seed_everything": 0}
    assert differences(saved, final) == ["data.num_clips: 2 -> 1"]


# Errors: one sentence, a non-zero status, and no partial output.


def refused(capsys, args, status=1):
    """Run a command that must fail, and return its error message of one sentence."""
    capsys.readouterr()
    if status == 2:  # argparse exits itself
        with pytest.raises(SystemExit, match="2"):
            main(args)
    else:
        assert main(args) == status
    (sentence,) = (
        line for line in capsys.readouterr().err.splitlines() if line.startswith("pks4: error: ")
    )
    return sentence


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--data.root=/nowhere"], 1, ["'/nowhere'", "data.root"]),
        (["--model.classifier.num_classes=9"], 1, ["8 classes", "num_classes 8"]),
        (["--model.classifier.insert_after=3"], 1, ["insert_after (3)", "2 blocks"]),
        (["--model.classifier.context_frames=3"], 1, ["context_frames is 3", "even"]),
        (["--model.recipe.label_smoothing=2"], 1, ["label_smoothing", "2"]),
        (["--data.num_frames=10000000"], 1, ["10000000", "GiB", "num_frames"]),
        (["--data.train=labels/nothing.json"], 1, ["nothing.json"]),
        (["--model.classifier.insert_afer=3"], 2, ["insert_afer", "did you mean", "insert_after"]),
        (["--model.classifier.insert_after=three"], 2, ["insert_after", "three"]),
        (["--model.classifier.class_route=cls"], 2, ["class_route", "cls"]),
        (["--config=nothing.yaml"], 2, ["nothing.yaml"]),
        (
            ["--model.classifier.backbone=/nothing", "--model.classifier.pretrained=true"],
            1,
            ["/nothing"],
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) and value[0].startswith("--") else "",
)
def test_bad_settings_are_refused_before_anything_is_written(
    tiny_args, tmp_path, capsys, options, status, words
):
    folder = tmp_path / "run"
    args = ["fit", *tiny_args, f"--trainer.default_root_dir={folder}", *options]
    sentence = refused(capsys, args, status)
    assert all(word in sentence for word in words), sentence
    assert not folder.exists()


def test_a_folder_that_holds_a_run_is_not_trained_into(tiny_args, trained, capsys):
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*")}
    sentence = refused(capsys, ["fit", *tiny_args, f"--trainer.default_root_dir={trained}"])
    assert "--ckpt_path last" in sentence
    assert {path: path.stat().st_mtime_ns for path in trained.rglob("*")} == before


def test_data_that_do_not_exist_are_said_before_a_run_that_does(tiny_args, trained, capsys):
    args = ["fit", *tiny_args, f"--trainer.default_root_dir={trained}", "--data.root=/nowhere"]
    assert "There is no folder '/nowhere'" in refused(capsys, args)


def test_early_stopping_without_a_validation_is_a_sentence(tiny_args, tmp_path, capsys):
    stop = ["--trainer.callbacks=EarlyStopping", "--trainer.callbacks.monitor=val/top1"]
    short = [f"--trainer.default_root_dir={tmp_path}", "--trainer.max_steps=1"]
    sentence = refused(capsys, ["fit", *tiny_args, *short, *stop])
    assert sentence.endswith("before its first validation: raise --trainer.max_steps.")


def test_unknown_label_is_named_with_its_file(motion_set, tiny_args, tmp_path, capsys):
    entries = json.loads((motion_set / "labels" / "train.json").read_text())
    entries[3]["template"] = "Juggling [something]"
    bad = tmp_path / "train.json"
    bad.write_text(json.dumps(entries))
    sentence = refused(capsys, ["fit", *tiny_args, f"--data.train={bad}"])
    assert "train.json" in sentence
    assert "Juggling something" in sentence


def test_one_undecodable_video_is_replaced_and_recorded(motion_set, tiny_args, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(motion_set, root)
    broken = json.loads((root / "labels" / "train.json").read_text())[5]["id"]
    (root / "videos" / f"{broken}.webm").write_bytes(b"this is no video")
    args = ["fit", *tiny_args, f"--data.root={root}", "--trainer.max_epochs=1"]
    assert main([*args, f"--trainer.default_root_dir={tmp_path / 'run'}"]) == 0
    (sentence,) = (tmp_path / "run" / "failed_train.txt").read_text().splitlines()
    assert f"{broken}.webm" in sentence


@pytest.mark.parametrize("workers", [0, 1])
def test_undecodable_videos_are_named_and_stop_a_training(
    motion_set, tiny_args, tmp_path, capsys, workers
):
    root = tmp_path / "data"
    shutil.copytree(motion_set, root)
    entries = json.loads((root / "labels" / "train.json").read_text())
    broken = [root / "videos" / f"{entry['id']}.webm" for entry in entries[5:7]]
    for path in broken:
        path.write_bytes(b"this is no video")
    args = ["fit", *tiny_args, f"--data.root={root}", f"--data.num_workers={workers}"]
    sentence = refused(capsys, [*args, f"--trainer.default_root_dir={tmp_path / 'run'}"])
    assert "2 of 16 training videos cannot be decoded" in sentence
    assert all(path.name in sentence for path in broken)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["no checkpoint"]),
        (b"", ["cannot be read"]),
        (b"not a checkpoint", ["cannot be read"]),
        ({"state_dict": {}}, ["was not written by pks4_lightning"]),
    ],
    ids=["missing", "empty", "text", "foreign"],
)
def test_files_that_are_not_checkpoints_are_refused_by_name(tmp_path, capsys, content, words):
    path = tmp_path / "x.ckpt"
    if isinstance(content, dict):
        torch.save(content, path)
    elif content is not None:
        path.write_bytes(content)
    sentence = refused(capsys, ["test", f"--ckpt_path={path}"])
    assert all(word in sentence for word in ["x.ckpt", *words]), sentence


def test_checkpoint_of_another_architecture_is_refused(trained, tmp_path, capsys):
    args = [f"--ckpt_path={trained / 'checkpoints/best.ckpt'}", "--model.classifier.d_state=8"]
    sentence = refused(capsys, ["test", *args, f"--trainer.default_root_dir={tmp_path}"])
    assert "classifier.pks4.scanner.A_log" in sentence
    assert "(32, 4)" in sentence
    assert "(32, 8)" in sentence


def test_unknown_command_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["tset"])
    assert "'tset'" in capsys.readouterr().err


@pytest.mark.parametrize("resume", ["null", "auto"])
def test_two_trainings_do_not_share_a_folder(tiny_args, tmp_path, capsys, resume):
    folder = tmp_path / "checkpoints"
    args = ["fit", *tiny_args, f"--trainer.default_root_dir={tmp_path}", f"--ckpt_path={resume}"]
    with hold_lock(folder / "running.lock", AssertionError()):
        unfinished = folder / ".last.ckpt.tmp-1.ckpt"
        unfinished.touch()
        assert f"Another training is writing to {folder}" in refused(capsys, args)
        assert unfinished.exists()
    assert main([*args, "--trainer.max_epochs=1"]) == 0
    assert not unfinished.exists()
    with hold_lock(folder / "running.lock", AssertionError("a finished training holds the lock")):
        pass


def test_a_full_disk_is_no_bug_whoever_writes():
    with (
        pytest.raises(OSError, match="No space left") as caught,
        Path("/dev/full").open("w") as full,
    ):
        full.write("x")
    assert user_error(caught.value) == "No space left on device."
    with pytest.raises(OSError, match="No such file") as caught:
        Path("/nowhere/x").read_text()
    assert user_error(caught.value) is None


def test_a_file_where_a_folder_should_be_is_no_bug_whoever_finds_it(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for folder in (file, file / "inside"):
        with pytest.raises(OSError, match="file") as caught:
            folder.mkdir()
        assert user_error(caught.value) == (
            f"{caught.value.strerror}: {folder}; choose another folder."
        )


def test_a_bug_keeps_its_traceback(tiny_args, tmp_path, monkeypatch):
    def broken(*args):
        return {}["a bug"]

    monkeypatch.setattr(PKS4CLI, "before_fit", broken)
    with pytest.raises(KeyError, match="a bug"):
        main(["fit", *tiny_args, f"--trainer.default_root_dir={tmp_path}"])
