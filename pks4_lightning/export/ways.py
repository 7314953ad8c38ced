"""The three file formats of a traced graph."""

import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.export import ExportedProgram

from pks4_lightning.export import loaders
from pks4_lightning.export.scripts import clips

__all__ = ["WAYS", "Graph", "Way"]

_ONNX_OPSET = 20


class Graph(NamedTuple):
    """A traced graph with the names of its inputs and outputs."""

    program: ExportedProgram
    inputs: list[str]
    outputs: list[str]


class Way(NamedTuple):
    """A file format and the function that writes it."""

    file: str
    """Name of the file."""
    write: Callable[[Graph, Path], None]
    load: Callable[[Path], Any]
    """``load_model`` of the script: takes the folder and returns the function that computes."""
    packages: tuple[str, ...] = ()
    """Packages that writing and reading need besides torch."""

    def check_packages(self) -> None:
        """Raise a ValueError if one of these packages is not installed."""
        absent = [name for name in self.packages if importlib.util.find_spec(name) is None]
        if absent:
            raise ValueError(
                f"{self.file} needs {' and '.join(absent)}: pip install 'pks4-lightning[export]'."
            )


def _write_torch(graph: Graph, path: Path) -> None:
    torch.export.save(graph.program, path)


def _write_onnx(graph: Graph, path: Path) -> None:
    with _quiet():
        torch.onnx.export(
            graph.program,
            f=path,
            dynamo=True,
            opset_version=_ONNX_OPSET,
            input_names=graph.inputs,
            output_names=graph.outputs,
            external_data=False,
            verbose=False,
        )


def _write_aoti(graph: Graph, path: Path) -> None:
    with _quiet():
        torch._inductor.aoti_compile_and_package(graph.program, package_path=str(path))


WAYS = {
    "torch": Way("model.pt2", _write_torch, loaders.load_model),
    "onnx": Way("model.onnx", _write_onnx, clips.load_model, ("onnx", "onnxscript", "onnxruntime")),
    "aoti": Way("model.aoti.pt2", _write_aoti, loaders.load_model),
}
"""Formats by their names on the command line."""


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the exporters' warnings, which the user can do nothing about."""
    theirs = logging.getLogger("torch.onnx")
    level = theirs.level
    theirs.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        theirs.setLevel(level)
