"""Let torchcodec use the FFmpeg bundled with PyAV where the system has none.

On import, torchcodec looks for FFmpeg's libraries by their plain names; PyAV's bundled libraries
have a hash in their names. This module creates a folder of symbolic links and restarts the program
with that folder on the library path, so that both readers use the same decoders.
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
    """Restart this program with the links if torchcodec is installed and FFmpeg is not."""
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
    os.execve(  # noqa: S606 - restarts itself
        sys.executable,
        [sys.executable, *sys.argv],
        {**os.environ, "LD_LIBRARY_PATH": path, _STARTED: "1"},
    )
