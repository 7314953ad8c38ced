"""``pks4 doctor`` finds exactly the planted faults, and gives a line and a fix for each."""

import json
import resource
import socket
import tempfile
from pathlib import Path
from types import SimpleNamespace

import av
import pytest
import torch
from huggingface_hub import constants

from pks4_lightning import cores
from pks4_lightning.__main__ import main
from pks4_lightning.doctor import machine, software
from pks4_lightning.doctor.finding import Finding, run_checks
from pks4_lightning.ops import backend


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def sound(monkeypatch):
    """Simulate a machine with enough resources, independent of the real one."""
    plenty = SimpleNamespace(f_bavail=2**24, f_frsize=4096)
    monkeypatch.setattr(machine.os, "statvfs", lambda _: plenty)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: SimpleNamespace(free=2**40))
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(cores, "_LIMIT", Path("/nowhere"))
    monkeypatch.setattr(software, "_NVIDIA_DRIVER", Path("/nowhere"))


def report(capsys, *arguments):
    """Return the exit status and the findings by check."""
    capsys.readouterr()
    status = main(["doctor", "--json", *arguments])
    rows = json.loads(capsys.readouterr().out)
    return status, {row["check"]: row for row in rows}


def test_a_sound_machine_is_sound(sound, tmp_path, capsys):
    status, found = report(capsys, "--data", str(tmp_path))
    assert [row for row in found.values() if not row["ok"]] == []
    assert status == 0
    assert len(found) == 14
    assert " ms for 8 of 60 frames" in found["decoding"]["said"]
    assert found["data"]["said"].startswith("on ")


def old_package(monkeypatch, tmp_path):
    (tmp_path / "numpy-1.26.0.dist-info").mkdir()
    (tmp_path / "numpy-1.26.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: numpy\nVersion: 1.26.0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "packages", "numpy 1.26.0", "pip install 'numpy>=2'"


def idle_gpu(monkeypatch, tmp_path):
    driver = tmp_path / "version"
    driver.touch()
    monkeypatch.setattr(software, "_NVIDIA_DRIVER", driver)
    monkeypatch.setattr(software.torch.version, "cuda", None)
    monkeypatch.setattr(software.torch.cuda, "is_available", lambda: False)
    return "torch", "is a CPU build beside a GPU", "install torch's CUDA build"


def missing_decoder(monkeypatch, tmp_path):
    known = av.codec.Codec

    def codec(name, mode):
        return known("none" if name == "hevc" else name, mode)

    monkeypatch.setattr(software.av.codec, "Codec", codec)
    return "decoders", "no hevc", "--force-reinstall"


def one_core(monkeypatch, tmp_path):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: {0}, raising=False)
    return "cores", "1", "--cpus 4"


def small_shared_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_SHARED_MEMORY", tmp_path)
    small = SimpleNamespace(f_bavail=2**14, f_frsize=4096)  # 64 MiB, as Docker gives
    monkeypatch.setattr(machine.os, "statvfs", lambda _: small)
    return "shared memory", "0.1 GiB free", "--shm-size 8g"


def few_files(monkeypatch, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr(machine.resource, "getrlimit", lambda _: (256, limits[1]))
    return "open files", "at most 256", "ulimit -n 4096"


def no_temporary_files(monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    return "temporary files", "No space left on device", "TMPDIR"


def full_disk(monkeypatch, tmp_path):
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    return "disk", "0.0 GiB free", "--trainer.default_root_dir"


def unreachable_hub(monkeypatch, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]  # closed again, so that nothing answers
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    return "hub", "cannot be reached", "pks4 tower fetch"


def wrong_pictures(monkeypatch, tmp_path):
    known = av.VideoFrame

    def darker(pixels, **options):
        return known.from_ndarray(pixels // 2, **options)

    monkeypatch.setattr(av, "VideoFrame", SimpleNamespace(from_ndarray=darker))
    return "decoding", "gives pictures that differ", "av"


def broken_scan(monkeypatch, tmp_path):
    monkeypatch.setenv("PKS4_SCAN_BACKEND", "mamba_ssm")
    backend._resolve.cache_clear()
    return "training step", "cannot run here", "unset PKS4_SCAN_BACKEND"


def nothing_learned(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda *_, **__: None)
    return "training step", "changes no weight", "reinstall torch"


FAULTS = [
    old_package, idle_gpu, missing_decoder, one_core, small_shared_memory, few_files,
    no_temporary_files, full_disk, unreachable_hub, wrong_pictures, broken_scan, nothing_learned,
]  # fmt: skip


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_the_only_one_found(sound, plant, monkeypatch, tmp_path, capsys):
    with monkeypatch.context() as patched:
        check, said, fix = plant(patched, tmp_path)
        status, found = report(capsys)
    assert status == 1
    assert [name for name, row in found.items() if not row["ok"]] == [check]
    assert said in found[check]["said"]
    assert fix in found[check]["fix"]


def test_a_data_folder_that_is_not_there(sound, tmp_path, capsys):
    status, found = report(capsys, "--data", str(tmp_path / "gone"))
    assert status == 1
    assert "there is no folder" in found["data"]["said"]
    assert "--data.root" in found["data"]["fix"]


def test_the_file_system_is_that_of_the_nearest_mount(monkeypatch, tmp_path):
    mounts = tmp_path / "mounts"
    lines = ["/dev/sda / ext4", f"server:/x {tmp_path} nfs4", f"/dev/sdb {tmp_path}x xfs"]
    mounts.write_text("".join(f"{line} rw 0 0\n" for line in lines))
    monkeypatch.setattr(machine, "_MOUNTS", mounts)
    (tmp_path / "videos").mkdir()
    assert machine.check_data(tmp_path / "videos").said.startswith("on nfs4, a network file system")
    assert machine.check_data(Path("/")).said == "on ext4"


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_a_slow_format_is_named_but_is_not_a_fault(sound, capsys):
    with torch.backends.mkldnn.flags(enabled=False):
        status, found = report(capsys)
    assert status == 0
    assert "times as long as in float32" in found["bfloat16"]["said"]


def test_a_line_each_and_the_fix_below_it(sound, monkeypatch, tmp_path, capsys):
    full_disk(monkeypatch, tmp_path)
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 14 + 1
    (place,) = [i for i, line in enumerate(lines) if line.startswith("FAILED")]
    assert lines[place].split()[:2] == ["FAILED", "disk"]
    assert lines[place + 1].strip().startswith("fix: free some space")


def test_a_check_that_breaks_is_a_finding():
    def broken():
        raise RuntimeError("boom")

    ((name, said, ok),) = [
        (each.check, each.said, each.is_well) for each in run_checks([("x", broken)])
    ]
    assert (name, said, ok) == ("x", "RuntimeError: boom", False)
    assert run_checks([("y", lambda: Finding(check="y", said="fine"))])[0].is_well
