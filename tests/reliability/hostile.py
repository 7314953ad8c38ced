"""Malicious files: each leaves a mark if its code runs."""

import io
import os
import pickle
import sys
import tarfile
import zipfile
from pathlib import Path

import torch

MODULE = "evil_canary"


def plant_module(folder):
    """Write a module that leaves a mark when imported; return the mark's path."""
    mark = folder / "mark"
    (folder / f"{MODULE}.py").write_text(
        f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n"
        "from lightning.pytorch import Callback\n"
        "class Canary(Callback):\n    pass\n"
    )
    return mark


def let_modules_in(folder):
    """Make the module of :func:`plant_module` importable in a launched command."""
    sys.path.insert(0, folder)


class Calls:
    """An object that pickles as a function call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def hostile_checkpoints(good, folder, mark):
    """Return the 12 hostile files by name, most of them made from a good checkpoint."""
    touch = Calls(os.system, f"touch {mark}")
    (folder / "hubconf.py").write_text(f"import os\nos.system('touch {mark}')\ndef model(): pass\n")
    hub = Calls(torch.hub._load_local, str(folder), "model")
    checkpoint = torch.load(good, weights_only=True)
    settings = checkpoint["hyper_parameters"]
    canary = {"class_path": f"{MODULE}.Canary", "init_args": {}}
    contents = {
        "reduce": {**checkpoint, "callbacks": touch},
        "torch_hub": {**checkpoint, "callbacks": hub},
        "nested_pickle": {**checkpoint, "callbacks": Calls(pickle.loads, pickle.dumps(touch))},
        "instantiator": {
            **checkpoint,
            "hyper_parameters": {**settings, "_instantiator": f"{MODULE}.Canary"},
        },
        "class_path": {**checkpoint, "hyper_parameters": {**settings, "classifier": canary}},
        "list": [checkpoint],
    }
    files = {name: folder / f"{name}.ckpt" for name in contents}
    for name, content in contents.items():
        torch.save(content, files[name])
    for name, change in (("huge_storage", _declare_more), ("short_storage", _store_less)):
        files[name] = folder / f"{name}.ckpt"
        _rewrite_with_large_tensor(checkpoint, files[name], change)
    files["tar"] = _legacy_tar(folder / "tar.ckpt", touch)
    files["device"] = folder / "device.ckpt"
    files["device"].symlink_to("/dev/zero")
    files["empty"] = folder / "empty.ckpt"
    files["empty"].touch()
    files["sparse"] = folder / "sparse.ckpt"
    with files["sparse"].open("wb") as file:
        file.truncate(10 * 2**30)
    return files


NUMEL = 1234567
"""Number of elements of the tensor that two of the files misdeclare; unique, to find it."""


def _declare_more(name, content):
    """Make the pickle declare a tensor and a storage of a trillion elements."""
    small = b"J" + NUMEL.to_bytes(4, "little")
    large = b"\x8a\x06" + (2**40).to_bytes(6, "little")
    if name.endswith("data.pkl"):
        assert small in content
        return content.replace(small, large)
    return content


def _store_less(name, content):
    """Truncate the large tensor to its first hundred bytes."""
    return content[:100] if len(content) == 4 * NUMEL else content


def _rewrite_with_large_tensor(checkpoint, target, change):
    name = next(iter(checkpoint["state_dict"]))
    state_dict = {**checkpoint["state_dict"], name: torch.zeros(NUMEL)}
    buffer = io.BytesIO()
    torch.save({**checkpoint, "state_dict": state_dict}, buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(target, "w") as changed:
        for entry in source.namelist():
            changed.writestr(entry, change(entry, source.read(entry)))


def _legacy_tar(target, content):
    """Write torch's format before 0.1.10, a tar of pickles."""
    with tarfile.open(target, "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            payload = pickle.dumps(content)
            member = tarfile.TarInfo(name)
            member.size = len(payload)
            archive.addfile(member, io.BytesIO(payload))
    return target


class PeakMemory:
    """Peak growth of the process's memory inside the ``with`` block, in MB."""

    def __enter__(self):
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        self._start = self._read("VmRSS")
        self.growth = 0.0
        return self

    def __exit__(self, *exception):
        self.growth = self._read("VmHWM") - self._start

    @staticmethod
    def _read(field):
        status = Path("/proc/self/status").read_text()
        return int(status.split(f"{field}:")[1].split()[0]) / 1024
