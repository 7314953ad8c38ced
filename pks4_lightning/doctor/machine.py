"""Checks of cores, shared memory, open files and disks."""

import os
import resource
import shutil
import tempfile
from pathlib import Path

from pks4_lightning.cores import num_cores
from pks4_lightning.doctor.finding import Finding
from pks4_lightning.files import ANY_NAME
from pks4_lightning.suggestions import did_you_mean_path

__all__ = ["check_cores", "check_data", "check_disk", "check_files", "check_memory", "check_temp"]

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - nothing is written there
_LEAST_SHARED = 2**30  # twice ten batches of 16 clips of 8 frames at 224 pixels, 8-bit
_LEAST_DISK = 5 * 2**30  # the checkpoints of a ViT-L/14 with its optimiser state
_LEAST_FILES = 1024  # PyTorch's workers send a file handle per tensor
_MOUNTS = Path("/proc/mounts")
_NETWORK = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "lustre", "ceph", "beegfs", "gpfs")


def check_cores() -> Finding:
    """Count the cores that this process may use."""
    cores = num_cores()
    fix = None
    if cores < 2:
        fix = "decoding and training share it: start the container with --cpus 4, or taskset -c 0-3"
    return Finding(check="cores", said=f"{cores}", fix=fix)


def check_memory() -> Finding:
    """Check the memory that data workers share with the training."""
    if not _SHARED_MEMORY.is_dir():
        return Finding(check="shared memory", said=f"no {_SHARED_MEMORY} on this system")
    status = os.statvfs(_SHARED_MEMORY)
    free = status.f_bavail * status.f_frsize
    fix = None
    if free < _LEAST_SHARED:
        fix = "start the container with --shm-size 8g or --ipc host, or set --data.num_workers 0"
    return Finding(check="shared memory", said=f"{_gib(free)} free in {_SHARED_MEMORY}", fix=fix)


def check_files() -> Finding:
    """Check how many files this process may open."""
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    fix = None
    if limit != resource.RLIM_INFINITY and limit < _LEAST_FILES:
        fix = "ulimit -n 4096 before pks4"
        if most != resource.RLIM_INFINITY and most < _LEAST_FILES:
            fix = "raise nofile in /etc/security/limits.conf, or docker run --ulimit nofile=4096"
    return Finding(check="open files", said=f"at most {limit}", fix=fix)


def check_temp() -> Finding:
    """Check that a temporary file can be written."""
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"a test")
            file.flush()
    except OSError as error:
        said = f"nothing can be written: {error.strerror}"
        return Finding(check="temporary files", said=said, fix="set TMPDIR to a folder with room")
    return Finding(check="temporary files", said="can be written")


def check_disk(folder: Path) -> Finding:
    """Check the disk space for checkpoints.

    Args:
        folder: Output folder of runs.
    """
    free = shutil.disk_usage(folder).free
    fix = None
    if free < _LEAST_DISK:
        fix = "free some space, or choose another disk with --trainer.default_root_dir"
    return Finding(check="disk", said=f"{_gib(free)} free for runs", fix=fix)


def check_data(root: Path | None) -> Finding:
    """Check the data set's folder and its file system.

    Args:
        root: The folder, as in ``data.root``. ``None``: none was given.
    """
    if root is None:
        return Finding(check="data", said="not checked; --data DIR names the folder")
    if not root.is_dir():
        fix = "mount it, or give the folder that --data.root names"
        said = f"there is no folder {root}{did_you_mean_path(root).removesuffix('.')}"
        return Finding(check="data", said=said, fix=fix)
    if not os.access(root, os.R_OK | os.X_OK):
        return Finding(check="data", said=f"{root} cannot be read", fix=f"chmod -R u+rX {root}")
    kind = _file_system(root.resolve())
    note = ""
    if kind.startswith(_NETWORK):
        note = ", a network file system: if decoding is slow, copy the videos to a local disk"
    return Finding(check="data", said=f"on {kind or 'an unknown file system'}{note}")


def _file_system(path: Path) -> str:
    """Return the type of the file system that a path is on, as Linux names it."""
    if not _MOUNTS.is_file():
        return ""
    best, kind = Path("/"), ""
    for line in _MOUNTS.read_text(encoding="utf-8", errors=ANY_NAME).splitlines():
        place, this = line.split()[1:3]
        mount = Path(place.replace("\\040", " "))
        if path.is_relative_to(mount) and mount.is_relative_to(best):
            best, kind = mount, this
    return kind


def _gib(number: int) -> str:
    return f"{number / 2**30:.1f} GiB"
