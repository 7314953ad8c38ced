"""pytorchvideo's data interfaces, imported without torchvision.

pytorchvideo 0.1.5 needs a single name from torchvision, the folder walker behind
``LabeledVideoPaths.from_directory``. torchvision has no CPU build on PyPI, and beside a CPU build
of torch it breaks every library that looks for it, so we do not depend on it. If it is missing, a
stand-in for that name exists during this import and is removed afterwards; an installed torchvision
is left alone.
"""

import importlib.util
import sys
import types
import warnings
from importlib.machinery import ModuleSpec
from typing import NoReturn

__all__ = ["ClipInfo", "ClipInfoList", "ClipSampler", "Video"]

_STAND_INS = ("torchvision", "torchvision.datasets", "torchvision.datasets.folder")


def _make_dataset(*_args: object, **_kwargs: object) -> NoReturn:
    raise ImportError(
        "LabeledVideoPaths.from_directory needs torchvision, which is not installed; use "
        "VideoDataModule with format: folder instead."
    )


def _install_stand_ins() -> None:
    for name in _STAND_INS:
        module = types.ModuleType(name)
        module.__spec__ = ModuleSpec(name, loader=None)
        module.__path__ = []
        sys.modules[name] = module
    sys.modules[_STAND_INS[-1]].make_dataset = _make_dataset  # type: ignore[attr-defined]


_stand_in = "torchvision" not in sys.modules and importlib.util.find_spec("torchvision") is None
if _stand_in:
    _install_stand_ins()
try:
    with warnings.catch_warnings():
        # its sources contain an invalid escape sequence, about which Python warns on compilation
        warnings.simplefilter("ignore")
        from pytorchvideo.data.clip_sampling import ClipInfo, ClipInfoList, ClipSampler
        from pytorchvideo.data.video import Video
finally:
    if _stand_in:
        for _name in _STAND_INS:
            sys.modules.pop(_name, None)
