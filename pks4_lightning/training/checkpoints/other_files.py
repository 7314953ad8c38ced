"""Recognise files that are not checkpoints, to name their kind in the error message."""

import zipfile
from pathlib import Path

__all__ = ["refuse_other_files"]

_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
_VIDEO = "a video; `pks4 predict --ckpt_path CHECKPOINT VIDEO` labels it"
_IMAGE = "a picture"
_KINDS = (
    (0, b"version https://git-lfs", "a pointer of Git LFS; fetch the file with `git lfs pull`"),
    (4, b"ftyp", _VIDEO),
    (0, b"\x1a\x45\xdf\xa3", _VIDEO),  # Matroska, WebM
    (8, b"AVI ", _VIDEO),
    (0, b"\x00\x00\x01\xba", _VIDEO),  # MPEG program stream
    (0, b"\x30\x26\xb2\x75", _VIDEO),  # ASF, WMV
    (0, b"FLV", _VIDEO),
    (0, b"\x47\x40", _VIDEO),  # MPEG transport stream
    (0, b"\xff\xd8\xff", _IMAGE),
    (0, b"\x89PNG", _IMAGE),
    (0, b"\x89HDF", "an HDF5 file, as Keras writes them"),
    (0, b"\x1f\x8b", "a gzip archive; unpack it first"),
    (257, b"ustar", "a tar archive; unpack it first"),
    (0, b"%PDF", "a PDF"),
    (0, b"\x93NUMPY", "a numpy array"),
    (0, _PICKLE, "a pickle, or a file in torch's old format, written by another program"),
)
"""Offset, magic bytes at that offset, and the kind of file."""


def refuse_other_files(path: Path) -> None:
    """Refuse a file that is certainly not a checkpoint. Any other is left to the reader.

    Args:
        path: A file or a folder.

    Raises:
        ValueError: If it is a folder, empty, or another kind of file.
    """
    if path.is_dir():
        kind: str | None = _folder(path)
    else:
        # reading a device or a pipe could block for ever
        kind = _kind_of_file(path) if path.is_file() else "a device or a pipe"
    if kind is not None:
        raise ValueError(f"{path} cannot be read as a checkpoint: it is {kind}.")


def _folder(path: Path) -> str:
    for folder in (path / "checkpoints", path):
        found = sorted(folder.glob("[!.]*.ckpt"))
        if found:
            best = folder / "best.ckpt"
            return f"a folder; give a file in it, such as {best if best in found else found[0]}"
    if (path / "preprocessing.json").is_file():
        return (
            "a folder of `pks4 export`; label videos with the run.py in it, or write the weights "
            "with `pks4 export-weights`"
        )
    return "a folder without checkpoints; `pks4 fit` writes them as RUN/checkpoints/best.ckpt"


def _kind_of_file(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        return "empty: writing or copying it failed"
    if head.startswith(_ZIP):
        return _kind_of_archive(path)
    for offset, mark, kind in _KINDS:
        if head[offset:].startswith(mark):
            return kind
    if path.suffix == ".safetensors" or head[8:10] == b'{"':
        return (
            "a safetensors file without the classifier.json that `pks4 export-weights` writes "
            "beside it. To use an image tower, set --model.classifier.backbone to its folder or id"
        )
    return _text(path, head)


def _kind_of_archive(path: Path) -> str | None:
    """Recognise zip archives that ``torch.save`` did not write."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return None  # possibly a damaged checkpoint
    if all(name.endswith(".npy") for name in names):
        return "a file of numpy arrays; `pks4 rescore` reads those of a test"
    if any("/code/" in name for name in names):
        return "a TorchScript model, which contains a program"
    if not any(name.endswith("/data.pkl") for name in names):
        return "some other zip archive"
    return None


def _text(path: Path, head: bytes) -> str | None:
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # otherwise only the last character is cut
            return None
        text = ""
    if not all(letter.isprintable() or letter.isspace() for letter in text):
        return None
    if path.suffix in (".yaml", ".yml", ".json"):
        return "a text file; use --config for settings"
    return "a text file"
