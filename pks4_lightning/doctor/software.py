"""Checks of packages, torch and its GPU, decoders, and the hub."""

import importlib.util
import platform
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import av
import torch
from huggingface_hub import constants
from packaging.requirements import Requirement

from pks4_lightning.doctor.finding import Finding

__all__ = ["check_decoders", "check_gpu", "check_hub", "check_packages", "check_triton"]

_PACKAGE = "pks4-lightning"
_DECODERS = {"h264": ("h264",), "hevc": ("hevc",), "vp9": ("vp9",), "av1": ("libdav1d", "av1")}
_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
_PATIENCE = 5.0  # seconds


def check_packages() -> Finding:
    """Compare the installed packages with the required versions."""
    try:
        asked = [Requirement(line) for line in requires(_PACKAGE) or ()]
    except PackageNotFoundError:
        fix = f"pip install {_PACKAGE}, or make setup in a checkout"
        return Finding(check="packages", said=f"{_PACKAGE} is not installed", fix=fix)
    asked = [each for each in asked if each.marker is None or each.marker.evaluate({"extra": ""})]
    wrong = []
    for each in asked:
        try:
            found = version(each.name)
        except PackageNotFoundError:
            found = ""
        if not found or not each.specifier.contains(found, prereleases=True):
            wrong.append((each, found or "missing"))
    if wrong:
        said = ", ".join(f"{each.name} {found}" for each, found in wrong)
        fix = "pip install " + " ".join(f"'{each.name}{each.specifier}'" for each, _ in wrong)
        return Finding(check="packages", said=said, fix=fix)
    said = f"Python {platform.python_version()}, {len(asked)} packages within their bounds"
    return Finding(check="packages", said=said)


def check_gpu() -> Finding:
    """Report the device that torch uses, and whether a GPU is unused."""
    said = f"torch {torch.__version__}"
    if torch.cuda.is_available():
        names = {torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())}
        number = torch.cuda.device_count()
        return Finding(check="torch", said=f"{said}, {number} × {', '.join(sorted(names))}")
    if _NVIDIA_DRIVER.is_file():
        if torch.version.cuda is None:
            fix = "install torch's CUDA build: https://pytorch.org/get-started/locally"
            return Finding(check="torch", said=f"{said} is a CPU build beside a GPU", fix=fix)
        fix = (
            f"nvidia-smi says what driver there is; it must be one for CUDA {torch.version.cuda}, "
            "and CUDA_VISIBLE_DEVICES must not be empty"
        )
        return Finding(check="torch", said=f"{said} sees no GPU beside a driver", fix=fix)
    return Finding(check="torch", said=f"{said}, no GPU: runs on the CPU")


def check_triton() -> Finding:
    """Import Triton, if there is a GPU to run its kernels."""
    if not torch.cuda.is_available():
        return Finding(check="triton", said="not needed without a GPU")
    if importlib.util.find_spec("triton") is None:
        fix = "pip install triton: the scan is many times slower without it"
        return Finding(check="triton", said="missing", fix=fix)
    return Finding(check="triton", said=version("triton"))


def check_decoders() -> Finding:
    """Check that the decoders for the codecs of common data sets exist."""
    absent = [name for name, choices in _DECODERS.items() if not any(map(_decodes, choices))]
    if absent:
        fix = "pip install --force-reinstall --only-binary av av: its wheels have all of them"
        return Finding(check="decoders", said=f"no {', '.join(absent)}", fix=fix)
    return Finding(check="decoders", said=f"{', '.join(_DECODERS)} by PyAV {av.__version__}")


def check_hub() -> Finding:
    """Check that the Hugging Face hub, which provides image towers, responds."""
    if constants.HF_HUB_OFFLINE:
        return Finding(check="hub", said="not asked: HF_HUB_OFFLINE is set")
    try:
        request = Request(constants.ENDPOINT, method="HEAD")  # noqa: S310 - of the hub's client
        with urlopen(request, timeout=_PATIENCE):  # noqa: S310 - same
            pass
    except HTTPError:
        pass  # an error status is a response, too
    except OSError as error:
        reason = getattr(error, "reason", error)
        fix = (
            "on a machine with a network: pks4 tower fetch openai/clip-vit-base-patch16 --out DIR; "
            "here: --model.classifier.backbone DIR, and HF_HUB_OFFLINE=1"
        )
        return Finding(check="hub", said=f"cannot be reached ({reason})", fix=fix)
    return Finding(check="hub", said="answers")


def _decodes(name: str) -> bool:
    try:
        av.codec.Codec(name, "r")
    except ValueError:
        return False
    return True
