"""Cost of flexible training's random scales, and error of resized patches.

`python benchmarks/flexible.py` neither trains nor times anything. It computes means over all scales
that each file of configs/flexible can draw, and the relative error of patch tokens on random images
with the 1/f spectrum of photographs.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
import yaml
from machine import arguments, write_rows

from pks4_lightning.data.clips.flexible import FlexibleScales, ScaleDraws
from pks4_lightning.ops.patch_resize import resize_patches

CONFIGS = Path(__file__).parent.parent / "configs" / "flexible"


def main():
    options = arguments("Mean costs of flexible draws, and errors of resized patches.").parse_args()
    draws = [
        {"file": path.stem, "lengths": lengths, **mean_draws(path, lengths)}
        for path in sorted(CONFIGS.glob("*.yaml"))
        for lengths in ("uniform", "inverse")
    ]
    print("| file | frames | pixels | tokens per step, without draws = 1 |")
    print("|---|---|---|---|")
    for row in draws:
        print(
            f"| {row['file']}, {row['lengths']} | {row['frames']:.1f} | {row['frame_size']:.0f} "
            f"| {row['tokens']:.2f} |"
        )
    errors = []
    print("\n| patch | pseudo-inverse | plain bicubic |")
    print("|---|---|---|")
    for patch_size in (6, 8, 12, 14, 16, 24, 28, 48):
        ours, plain = resize_errors(patch_size)
        errors.append({"patch_size": patch_size, "pseudo_inverse": ours, "bicubic": plain})
        print(f"| {patch_size} | {ours:.1e} | {plain:.1e} |")
    write_rows(options.json, {"draws": draws, "errors": errors})


def mean_draws(path, lengths):
    settings = yaml.safe_load(path.read_text())
    grid_size = settings["model"]["classifier"]["grid_size"]
    patch_size = 14 if path.stem == "l14" else 16
    draws = ScaleDraws(
        scales=FlexibleScales(**settings["data"]["flexible"], lengths=lengths),
        num_frames=8,
        frame_size=224,
        patch_size=patch_size,
        grid_size=224 // patch_size if grid_size == "own" else grid_size,
    )
    return draws.means(batch_size=16)


def resize_errors(patch_size):
    """Relative error of the tokens of resized 16×16 patches: ours, and with bicubic weights."""
    patches = F.unfold(pictures(16, 128), 16, stride=16).transpose(1, 2).reshape(-1, 1, 16, 16)
    weights = pictures(64, 16, seed=1)
    expected = F.conv2d(patches, weights)
    resized = bicubic(patches, patch_size)
    ours = F.conv2d(resize_patches(resized, patch_size=patch_size, weight_size=16), weights)
    plain = F.conv2d(resized, bicubic(weights, patch_size))
    return [float((tokens - expected).norm() / expected.norm()) for tokens in (ours, plain)]


def pictures(count, side, *, seed=0):
    """Random images of unit variance with the 1/f amplitude spectrum of photographs."""
    generator = torch.Generator().manual_seed(seed)
    frequency = torch.fft.fftfreq(side).square()
    frequency = (frequency[:, None] + frequency).clamp_min(side**-2).sqrt()
    noise = torch.randn(count, 1, side, side, generator=generator, dtype=torch.float64)
    pixels = torch.fft.ifft2(torch.fft.fft2(noise) / frequency).real
    return pixels / pixels.std()


def bicubic(x, size):
    return F.interpolate(x, size=(size, size), mode="bicubic", antialias=True)


if __name__ == "__main__":
    main()
