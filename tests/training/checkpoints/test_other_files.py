"""``--ckpt_path`` with other files than checkpoints: identified in one sentence."""

import gzip
import io
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pks4_lightning.__main__ import main
from pks4_lightning.training.checkpoints.reading import read_checkpoint
from tests.helpers.media import Clip, write_clip


def saved(write):
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def zipped(name):
    def write(buffer):
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(name, "x")

    return saved(write)


def tarred(buffer):
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x"))


def old_format(buffer):
    torch.save({"model": {"w": torch.ones(2)}}, buffer, _use_new_zipfile_serialization=False)


FILES = {
    "empty.ckpt": (b"", "it is empty"),
    "note.txt": ("Grüße\n".encode() * 300, "it is a text file"),
    "ssv2.yaml": (b"model:\n  classifier: {}\n", "use --config for settings"),
    "clip.png": (b"\x89PNG\r\n\x1a\n" + bytes(50), "it is a picture"),
    "pulled.ckpt": (b"version https://git-lfs.github.com/spec/v1\n", "`git lfs pull`"),
    "packed.ckpt": (gzip.compress(b"x" * 99), "gzip archive; unpack it first"),
    "packed.tar": (saved(tarred), "tar archive; unpack it first"),
    "scores.npz": (saved(lambda file: np.savez(file, a=np.ones(2))), "`pks4 rescore` reads"),
    "pack.zip": (zipped("x/readme.txt"), "some other zip archive"),
    "script.pt": (zipped("x/code/__torch__.py"), "a TorchScript model"),
    "old.pth": (saved(old_format), "torch's old format"),
    "list.pkl": (pickle.dumps([1, 2]), "a pickle"),
    "their.pth": (saved(lambda file: torch.save({"state_dict": {}}, file)), "contains state_dict"),
    "tensor.pth": (
        saved(lambda file: torch.save(torch.ones(2), file)),
        "was not written by pks4_lightning",
    ),
    "module.pth": (
        saved(lambda file: torch.save(torch.nn.Linear(2, 2), file)),
        "more than tensors and plain values",
    ),
}


CODECS = {
    ".mp4": "libx264",
    ".webm": "libvpx",
    ".avi": "mpeg4",
    ".mpg": "mpeg2video",
    ".ts": "mpeg2video",
    ".flv": "flv1",
}


def sentence(path, capsys):
    assert main(["predict", f"--ckpt_path={path}", "--data.predict=x.mp4"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"pks4: error: {path} ")
    return line


@pytest.mark.parametrize("name", FILES)
def test_other_files_are_named(name, tmp_path, capsys):
    content, words = FILES[name]
    (tmp_path / name).write_bytes(content)
    assert words in sentence(tmp_path / name, capsys)


@pytest.mark.parametrize("suffix", CODECS)
def test_videos_are_recognised_with_any_suffix(suffix, tmp_path, capsys):
    clip = write_clip(tmp_path / "clip", Clip(suffix=suffix, codec=CODECS[suffix]))
    named = clip.rename(tmp_path / "clip.ckpt")
    assert "it is a video; `pks4 predict" in sentence(named, capsys)


def test_weights_without_settings_are_named(tmp_path, capsys):
    save_file({"w": torch.ones(2)}, tmp_path / "clip.safetensors")
    assert "a safetensors file without the classifier.json" in sentence(
        tmp_path / "clip.safetensors", capsys
    )


def test_folders_are_named_with_their_checkpoints(trained, tmp_path, capsys):
    assert "a folder without checkpoints" in sentence(tmp_path, capsys)
    (tmp_path / "preprocessing.json").touch()
    assert "it is a folder of `pks4 export`; label videos with" in sentence(tmp_path, capsys)
    best = trained / "checkpoints" / "best.ckpt"
    assert f"such as {best}." in sentence(trained, capsys)
    assert f"such as {best}." in sentence(trained / "checkpoints", capsys)


def test_checkpoints_are_read_all_the_same(trained):
    for path in (trained / "checkpoints").glob("*.ckpt"):
        assert "state_dict" in read_checkpoint(path)
