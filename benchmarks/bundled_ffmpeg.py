"""Lets torchcodec use the FFmpeg that PyAV brings along, where the system has none.

torchcodec looks for FFmpeg's libraries by their plain names when it is imported; PyAV's have a hash
in theirs. A folder of links and a fresh start with that folder on the library path bridge this, and
both readers then run the same decoders.
"""

import ctypes.util
import importlib.util
import os
import re
import sys
import tempfile
from pathlib import Path

_STARTED = "PKS4_BENCHMARK_LIBRARIES"


def restart_for_torchcodec() -> None:
    """Start this program again with the links, if torchcodec is installed and FFmpeg is not."""
    wanted = importlib.util.find_spec("torchcodec") and not ctypes.util.find_library("avcodec")
    package = importlib.util.find_spec("av")
    if not wanted or package is None or package.origin is None or _STARTED in os.environ:
        return
    libraries = Path(package.origin).parent.parent / "av.libs"
    links = Path(tempfile.gettempdir(), f"pks4-benchmark-libraries-{os.getuid()}")
    links.mkdir(mode=0o700, exist_ok=True)
    for library in libraries.glob("lib*"):
        name = re.sub(r"-[0-9a-f]{8}(\.so\.\d+).*", r"\1", library.name)
        link = links / name
        link.unlink(missing_ok=True)
        link.symlink_to(library)
    path = os.pathsep.join(
        [str(links), str(libraries), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    )
    os.execve(  # noqa: S606 - ourselves
        sys.executable,
        [sys.executable, *sys.argv],
        {**os.environ, "LD_LIBRARY_PATH": path, _STARTED: "1"},
    )
