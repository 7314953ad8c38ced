"""Functions for the launcher's ``prepare`` in the tests of checkpoint files."""

import ctypes
import itertools
import os
from pathlib import Path

import torch


def save_for_ever(folder, megabytes):
    """Save one checkpoint after another; a file contains the number of the last complete one."""
    from pks4_lightning.training.checkpoints.writing import WholeCheckpointIO

    torch.set_num_threads(1)
    folder = Path(folder)
    plugin = WholeCheckpointIO()
    weight = torch.empty(megabytes << 18)
    checkpoint = {"state_dict": {"weight": weight}, "hyper_parameters": {"classifier": {}}}
    for step in itertools.count(1):
        weight.fill_(step)
        checkpoint["global_step"] = step
        plugin.save_checkpoint(checkpoint, folder / "last.ckpt")
        (folder / "done").write_text(str(step))


def obey_permissions():
    """Give up root's capabilities to ignore file permissions."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3 of the interface; this process
    rights = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then their upper halves
    if os.geteuid() == 0:
        assert libc.capget(header, rights) == 0
        for place in (0, 1):
            rights[place] &= ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
        assert libc.capset(header, rights) == 0


def enter(holder):
    """Enter the namespaces of another process, so that its mounts are visible."""
    libc = ctypes.CDLL(None, use_errno=True)
    namespaces = [os.open(f"/proc/{holder}/ns/{kind}", os.O_RDONLY) for kind in ("user", "mnt")]
    for namespace in namespaces:
        assert libc.setns(namespace, 0) == 0, os.strerror(ctypes.get_errno())
        os.close(namespace)
