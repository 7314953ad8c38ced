"""Variants of the scripts' ``load_model`` for files that torch runs; the original loads ONNX."""

from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent

__all__ = ["load_model"]


def load_model(folder: Path = HERE) -> Any:
    """Return the function from the model's inputs to its outputs."""
    import torch
    from torch.utils._pytree import tree_leaves

    if (folder / "model.pt2").exists():
        module: Any = torch.export.load(folder / "model.pt2").module()
    else:
        module = torch._inductor.aoti_load_package(str(folder / "model.aoti.pt2"))

    def run(*inputs: np.ndarray) -> list[np.ndarray]:
        # compiled code assumes the strides that it was compiled for, without checking them
        tensors = [torch.from_numpy(np.ascontiguousarray(each)) for each in inputs]
        return [output.detach().numpy() for output in tree_leaves(module(*tensors))]

    return run
