"""The three ways in which a traced classifier becomes a file."""

import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch.export import ExportedProgram

__all__ = ["WAYS", "Way"]

_ONNX_OPSET = 20


class Way(NamedTuple):
    """A kind of file, and what writes it."""

    file: str
    """Name of the file."""
    write: Callable[[ExportedProgram, Path], None]
    packages: tuple[str, ...] = ()
    """What writing and reading it needs besides torch."""

    def check_packages(self) -> None:
        """Raise a ValueError if one of the packages is not installed."""
        absent = [name for name in self.packages if importlib.util.find_spec(name) is None]
        if absent:
            raise ValueError(
                f"{self.file} needs {' and '.join(absent)}: pip install 'pks4-lightning[export]'."
            )


def _write_torch(program: ExportedProgram, path: Path) -> None:
    torch.export.save(program, path)


def _write_onnx(program: ExportedProgram, path: Path) -> None:
    with _quiet():
        torch.onnx.export(
            program,
            f=path,
            dynamo=True,
            opset_version=_ONNX_OPSET,
            input_names=["video"],
            output_names=["logits"],
            external_data=False,
            verbose=False,
        )


def _write_aoti(program: ExportedProgram, path: Path) -> None:
    with _quiet():
        torch._inductor.aoti_compile_and_package(program, package_path=str(path))


WAYS = {
    "torch": Way("model.pt2", _write_torch),
    "onnx": Way("model.onnx", _write_onnx, ("onnx", "onnxscript", "onnxruntime")),
    "aoti": Way("model.aoti.pt2", _write_aoti),
}
"""By their names on the command line."""


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what exporters say about packages that nobody asked for."""
    theirs = logging.getLogger("torch.onnx")
    level = theirs.level
    theirs.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        theirs.setLevel(level)
