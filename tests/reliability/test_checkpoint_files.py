"""Checkpoints after kills, on full disks, in read-only folders, and with flipped bits."""

import os
import random
import resource
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from pks4_lightning.__main__ import main
from pks4_lightning.training.checkpoints.finding import find_checkpoint
from pks4_lightning.training.checkpoints.reading import load_checked, read_checkpoint
from pks4_lightning.training.checkpoints.writing import WholeCheckpointIO, check_folder

FAULTS = "tests.reliability.checkpoint_faults"
# writing a checkpoint takes longer than a step
SAVES_OFTEN = [
    "--model.classifier.backbone_config.hidden_size=256",
    "--model.classifier.backbone_config.intermediate_size=512",
    "--last_checkpoint.every_n_train_steps=1",
    "--trainer.max_epochs=400",
]
# 16 steps per epoch with a checkpoint after each, so that checkpoints are written all the time
SHORT_STEPS = [
    "--data.batch_size=1",
    "--model.recipe.reference_batch=1",
    "--last_checkpoint.every_n_train_steps=1",
]


def checkpoint(step=1, **more):
    return {"hyper_parameters": {"classifier": {}}, "global_step": step, **more}


def leftovers(folder):
    return list(folder.glob(".*"))


@pytest.fixture
def other_disk():
    """A folder on another file system than the tests, as is common for temporary files."""
    folder = Path("/dev/shm")
    if not folder.is_dir():
        pytest.skip("there is no second file system")
    return folder


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 3 MB, mounted only for one process and for those that enter its namespace."""
    folder = tmp_path / "disk"
    folder.mkdir()
    script = f"mount -t tmpfs -o size=3m none {folder} && echo ready && exec sleep 600"
    try:
        holder = subprocess.Popen(
            ["unshare", "-Urm", "sh", "-c", script], stdout=subprocess.PIPE, text=True
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    try:
        if holder.stdout.readline() != "ready\n":
            pytest.skip("no mount namespaces here")
        yield folder, holder.pid
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


def test_a_kill_during_a_save_leaves_the_checkpoint_before(
    launcher, other_disk, times, tmp_path, record
):
    kills, cut_short, torn, lost = times(8, full=40), 0, 0, 0
    megabytes = times(20, full=80)
    draw = random.Random(0)
    for number in range(kills):
        folder = tmp_path / str(number)
        folder.mkdir()
        done = folder / "done"
        process = launcher.start(
            "--version",
            env={"TMPDIR": other_disk},
            prepare=f"{FAULTS}:save_for_ever",
            folder=str(folder),
            megabytes=megabytes,
        )
        process.wait_until(lambda done=done: done.is_file() and done.read_text())
        start, first = time.monotonic(), done.read_text()
        process.wait_until(lambda done=done, seen=("", first): done.read_text() not in seen)
        time.sleep(draw.uniform(0, 2 * (time.monotonic() - start)))
        process.send(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        cut_short += bool(leftovers(folder))
        try:
            found, is_verified = load_checked(find_checkpoint("last", folder))
            step = found["global_step"]
            whole = is_verified and bool((found["state_dict"]["weight"] == step).all())
            torn += not whole
            lost += step < int(done.read_text() or 0)
        except ValueError:
            torn += 1
        shutil.rmtree(folder)
    record(
        "kills during saves",
        kills=kills,
        megabytes=megabytes,
        saves_cut_short=cut_short,
        torn=torn,
        lost=lost,
    )
    assert (torn, lost) == (0, 0)
    assert cut_short >= kills // 4, "kills must hit saves, or the test shows nothing"


def test_a_training_that_is_killed_again_and_again_goes_on_each_time(
    launcher, other_disk, tiny_args, times, tmp_path, record
):
    folder = tmp_path / "run"
    args = ["fit", *tiny_args, *SAVES_OFTEN, f"--trainer.default_root_dir={folder}"]
    draw = random.Random(1)
    last = folder / "checkpoints" / "last.ckpt"
    kills, steps = times(3, full=12), [0]

    def has_gone_on():  # reads during replacement: the file is always complete
        return last.is_file() and read_checkpoint(last)["global_step"] > steps[-1]

    for _ in range(kills):
        process = launcher.start(*args, "--ckpt_path=auto", env={"TMPDIR": other_disk})
        process.wait_until(has_gone_on)
        assert len(leftovers(last.parent)) <= 1, "older ones are swept at the start"
        time.sleep(draw.uniform(0, 0.3))
        process.send(signal.SIGKILL)
        process.wait()
        newest = find_checkpoint("last", last.parent)
        steps.append(read_checkpoint(newest)["global_step"])
    record("kills of a training that saves at every step", kills=kills, torn=0, steps=steps)


def test_a_full_disk_ends_the_run_and_keeps_the_checkpoint(launcher, tiny_args, small_disk):
    disk, holder = small_disk
    options = {"prepare": f"{FAULTS}:enter", "holder": holder}
    args = ["fit", *tiny_args, f"--trainer.default_root_dir={disk}", "--trainer.logger=false"]
    args += [*SHORT_STEPS, "--ckpt_path=auto"]
    process = launcher.start(*args, **options)
    seen = Path(f"/proc/{holder}/root{disk}")
    process.wait_until(lambda: (seen / "checkpoints" / "last.ckpt").is_file())
    fill(seen)
    assert process.wait() == 1, process.text()
    (sentence,) = [line for line in process.text().splitlines() if line.startswith("pks4: error")]
    assert str(disk / "checkpoints") in sentence
    assert "No space left on device. It needs " in sentence
    assert " are free there. The previous checkpoint is kept." in sentence
    assert not leftovers(seen / "checkpoints")
    step = read_checkpoint(find_checkpoint("last", seen / "checkpoints"))["global_step"]

    (seen / "filler").unlink()
    again = launcher.start(*args, **options)
    assert again.wait() == 0, again.text()
    assert read_checkpoint(seen / "checkpoints" / "last.ckpt")["global_step"] == 32 > step


def fill(folder):
    with (folder / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1024))


def test_a_file_that_cannot_be_written_to_its_end_is_reported_with_its_size(tmp_path):
    plugin, path = WholeCheckpointIO(), tmp_path / "last.ckpt"
    plugin.save_checkpoint(checkpoint(1), path)
    weight = torch.zeros(1 << 20)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(OSError, match=r"last\.ckpt cannot be written: File too large") as error:
            plugin.save_checkpoint(checkpoint(2, state_dict={"weight": weight}), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    needed = int(str(error.value).split("It needs ")[1].split(" bytes")[0].replace(",", ""))
    assert 4 << 20 < needed < (4 << 20) + 4096
    assert read_checkpoint(path)["global_step"] == 1
    assert not leftovers(tmp_path)


def test_too_little_space_is_refused_before_anything_is_written(tmp_path):
    folder = tmp_path / "run" / "checkpoints"
    with pytest.raises(OSError, match=r"need about 36,000,000,000,000 bytes, [\d,]+ are free"):
        check_folder(folder, parameters=10**12)
    assert not folder.parent.exists()


def test_a_read_only_folder_is_refused_before_the_first_step(launcher, tiny_args, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir(mode=0o555)
    process = launcher.start(
        "fit",
        *tiny_args,
        f"--trainer.default_root_dir={folder}",
        prepare=f"{FAULTS}:obey_permissions",
    )
    assert process.wait() == 1, process.text()
    assert f"No checkpoint can be written to {folder / 'checkpoints'}: Permission denied" in (
        process.text()
    )
    assert not list(folder.iterdir())


def test_a_folder_that_becomes_read_only_ends_the_run(launcher, tiny_args, tmp_path):
    folder = tmp_path / "run"
    process = launcher.start(
        "fit",
        *tiny_args,
        *SHORT_STEPS,
        f"--trainer.default_root_dir={folder}",
        prepare=f"{FAULTS}:obey_permissions",
    )
    process.wait_until(lambda: (folder / "checkpoints" / "last.ckpt").is_file())
    (folder / "checkpoints").chmod(0o555)
    assert process.wait() == 1, process.text()
    assert "cannot be written: Permission denied. The previous checkpoint is kept." in (
        process.text()
    )
    assert find_checkpoint("last", folder / "checkpoints")


def flipped(content, bit):
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return changed


def test_every_flipped_bit_is_detected(trained, times, tmp_path, record):
    content = (trained / "checkpoints" / "last.ckpt").read_bytes()
    draw = random.Random(2)
    flips = times(20, full=100)
    bits = draw.sample(range(8 * len(content)), flips)
    missed = [bit for bit in bits if not is_refused(tmp_path, flipped(content, bit))]
    record("flipped bits", flips=flips, detected=flips - len(missed))
    assert missed == []


def test_every_flipped_bit_of_the_seal_is_detected(tmp_path):
    WholeCheckpointIO().save_checkpoint(checkpoint(), tmp_path / "x.ckpt")
    content = (tmp_path / "x.ckpt").read_bytes()
    bits = range(8 * len(content) - 8 * 150, 8 * len(content))
    assert [bit for bit in bits if not is_refused(tmp_path, flipped(content, bit))] == []


def is_refused(folder, content):
    path = folder / "damaged.ckpt"
    path.write_bytes(content)
    try:
        load_checked(path)
    except ValueError as error:
        return "damaged.ckpt cannot be read as a checkpoint" in str(error)
    return False


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: content[:0],
        lambda content: bytes(len(content)),
        lambda content: content[: len(content) // 2].ljust(len(content), b"\0"),
        lambda content: flipped(content, 4 * len(content)),
    ],
    ids=["cut in half", "last byte", "empty", "zeros", "half zeros", "one bit"],
)
def test_the_newest_whole_checkpoint_is_taken_and_the_damaged_one_named(tmp_path, caplog, damage):
    plugin = WholeCheckpointIO()
    for step, name in ((1, "first"), (2, "best"), (3, "last")):
        weight = torch.full((4096,), float(step))
        plugin.save_checkpoint(
            checkpoint(step, state_dict={"weight": weight}), tmp_path / f"{name}.ckpt"
        )
    newest = tmp_path / "last.ckpt"
    newest.write_bytes(damage(newest.read_bytes()))
    assert find_checkpoint("auto", tmp_path) == tmp_path / "best.ckpt"
    assert "Skipped a checkpoint" in caplog.text
    assert "last.ckpt cannot be read as a checkpoint" in caplog.text


def test_a_run_continues_from_best_if_last_is_damaged(trained, tmp_path, tiny_args, capsys):
    folder = tmp_path / "checkpoints"
    shutil.copytree(trained / "checkpoints", folder)
    args = ["fit", *tiny_args, f"--trainer.default_root_dir={tmp_path}", "--ckpt_path=auto"]
    os.truncate(folder / "last.ckpt", 1000)
    assert main(args) == 0
    assert read_checkpoint(folder / "last.ckpt")["global_step"] == 4, "written anew"
    for path in folder.glob("*.ckpt"):
        os.truncate(path, 1000)
    assert main(args) == 1
    error = capsys.readouterr().err
    assert "can be used." in error
    assert "best.ckpt cannot be read" in error
    assert "last.ckpt cannot be read" in error


def test_last_needs_a_checkpoint_and_auto_does_not(tiny_args, tmp_path, capsys):
    args = ["fit", *tiny_args, f"--trainer.default_root_dir={tmp_path}", "--trainer.max_epochs=1"]
    assert main([*args, "--ckpt_path=last"]) == 1
    assert "with --ckpt_path auto a new" in capsys.readouterr().err
    assert main([*args, "--ckpt_path=auto"]) == 0
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()


def test_a_plain_checkpoint_is_taken_but_not_called_verified(trained, tmp_path, caplog):
    path = tmp_path / "plain.ckpt"
    sealed, is_verified = load_checked(trained / "checkpoints" / "last.ckpt")
    torch.save(sealed, path)
    assert is_verified
    assert load_checked(path)[1] is False
    assert main(["test", f"--ckpt_path={path}", f"--trainer.default_root_dir={tmp_path}"]) == 0
    assert "plain.ckpt has no checksum and cannot be verified" in caplog.text


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", ["weight", "optimiser"])
def test_non_finite_values_are_never_written(tmp_path, value, place):
    plugin, path = WholeCheckpointIO(), tmp_path / "last.ckpt"
    plugin.save_checkpoint(checkpoint(1), path)
    bad = torch.tensor([0.0, value])
    if place == "weight":
        content, name = {"state_dict": {"ok": torch.zeros(2), "head.weight": bad}}, "head.weight"
    else:
        content = {"optimizer_states": [{"state": {7: {"exp_avg": bad}}}]}
        name = "exp_avg of parameter 7"
    with pytest.raises(ValueError, match=f"{name} is not finite"):
        plugin.save_checkpoint(checkpoint(2, **content), path)
    assert read_checkpoint(path)["global_step"] == 1


def test_the_file_just_written_is_not_removed_under_its_other_name(tmp_path):
    plugin = WholeCheckpointIO()
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    plugin.save_checkpoint(checkpoint(1), tmp_path / "old.ckpt")
    plugin.save_checkpoint(checkpoint(2), tmp_path / "last.ckpt")
    plugin.remove_checkpoint(tmp_path / "link" / "last.ckpt")
    plugin.remove_checkpoint(tmp_path / "link" / "old.ckpt")
    assert [path.name for path in tmp_path.glob("*.ckpt")] == ["last.ckpt"]
