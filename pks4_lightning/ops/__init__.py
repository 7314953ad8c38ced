"""Pure functions without parameters: selective scan, convolution, correlation, variation."""

from typing import TYPE_CHECKING

from pks4_lightning.lazy import lazy_names

if TYPE_CHECKING:
    from pks4_lightning.ops.backend import ScanBackend, portable_ops, scan_backend
    from pks4_lightning.ops.conv.causal_conv import causal_conv_silu
    from pks4_lightning.ops.correlation import local_correlation
    from pks4_lightning.ops.patch_resize import resize_patches
    from pks4_lightning.ops.scan.naive import selective_scan_naive
    from pks4_lightning.ops.scan.selective_scan import selective_scan
    from pks4_lightning.ops.temporal_shift import context_offsets, shift_frames
    from pks4_lightning.ops.variation import temporal_variation
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "ScanBackend",
    "causal_conv_silu",
    "context_offsets",
    "local_correlation",
    "portable_ops",
    "resize_patches",
    "scan_backend",
    "selective_scan",
    "selective_scan_naive",
    "shift_frames",
    "temporal_variation",
]
