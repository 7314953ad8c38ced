"""Pure functions without parameters: selective scan, convolution, correlation, variation."""

from typing import TYPE_CHECKING

from pks4_lightning.lazy import lazy_names

if TYPE_CHECKING:
    from pks4_lightning.ops.backend import ScanBackend as ScanBackend
    from pks4_lightning.ops.backend import scan_backend as scan_backend
    from pks4_lightning.ops.conv.causal_conv import causal_conv_silu as causal_conv_silu
    from pks4_lightning.ops.correlation import local_correlation as local_correlation
    from pks4_lightning.ops.patch_resize import resize_patches as resize_patches
    from pks4_lightning.ops.scan.naive import selective_scan_naive as selective_scan_naive
    from pks4_lightning.ops.scan.selective_scan import selective_scan as selective_scan
    from pks4_lightning.ops.temporal_shift import context_offsets as context_offsets
    from pks4_lightning.ops.temporal_shift import shift_frames as shift_frames
    from pks4_lightning.ops.variation import temporal_variation as temporal_variation

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "backend": ["ScanBackend", "scan_backend"],
        "conv.causal_conv": ["causal_conv_silu"],
        "correlation": ["local_correlation"],
        "patch_resize": ["resize_patches"],
        "scan.naive": ["selective_scan_naive"],
        "scan.selective_scan": ["selective_scan"],
        "temporal_shift": ["context_offsets", "shift_frames"],
        "variation": ["temporal_variation"],
    },
)
