"""Pre-train the demo's tiny backbone on still images: a supervised replacement for CLIP.

PKS⁴ starts from a tower that is pretrained on images. CLIP's weights are too large for two CPU
cores, so the demo includes a tower with CLIP's architecture, trained to tell the position, size,
shape and colour of the objects in single images.
"""

import argparse
import logging
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from pks4_lightning.batch import CLIP_MEAN, CLIP_STD
from pks4_lightning.demo.motion.render import COLOUR_NAMES, SHAPE_NAMES
from pks4_lightning.demo.tiny_clip.stills import NUM_PLACES, Stills, draw_stills
from pks4_lightning.progress import track
from pks4_lightning.ranges import check_at_least

__all__ = ["StillReader", "main", "pretrain", "tiny_clip_config"]

logger = logging.getLogger(__name__)

_NUM_BINS = 10
_BATCH_SIZE = 64
_PEAK_LR = 2e-3
_HELD_OUT_SEED = 1 << 32
"""Added to the seed for the images that are used for the final measurement only."""


def tiny_clip_config() -> CLIPVisionConfig:
    """Return the tower's configuration: CLIP's architecture, width 64, 4 blocks, 6×6 patches.

    Returns:
        A configuration with 219,008 parameters, for images of 48 pixels.
    """
    return CLIPVisionConfig(
        hidden_size=64,
        intermediate_size=256,
        projection_dim=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=48,
        patch_size=8,
        hidden_act="quick_gelu",
    )


class StillReader(nn.Module):
    """Answers questions about an image from the two outputs of a CLIP vision tower.

    Args:
        tower: Its projection answers about the whole image, its patch tokens about positions.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, tower: CLIPVisionModelWithProjection) -> None:
        super().__init__()
        self.tower = tower
        config = tower.config
        num_answers = 1 + NUM_PLACES * (_NUM_BINS + 1) + 2 + len(SHAPE_NAMES) + len(COLOUR_NAMES)
        self.picture_head = nn.Linear(config.projection_dim, num_answers)
        self.patch_norm = nn.LayerNorm(config.hidden_size)
        self.patch_head = nn.Linear(config.hidden_size, 3)
        self.register_buffer("mean", torch.tensor(CLIP_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(CLIP_STD).view(1, 3, 1, 1), persistent=False)

    def forward(
        self, picture: UInt8[Tensor, "N 3 H W"]
    ) -> tuple[dict[str, Float[Tensor, "N ..."]], Float[Tensor, "N P 3"]]:
        """Answer the questions about images.

        Args:
            picture: Raw pixels.

        Returns:
            Answers about the image, named after the fields of :class:`Stills` (``bins`` are logits
            over ten equal parts of each position), and the cover and offset of each patch.
        """
        outputs = self.tower((picture.float() / 255.0 - self.mean) / self.std)
        sizes = {
            "is_pair": 1,
            "bins": NUM_PLACES * _NUM_BINS,
            "place": NUM_PLACES,
            "axis": 2,
            "shape": len(SHAPE_NAMES),
            "colour": len(COLOUR_NAMES),
        }
        parts = self.picture_head(outputs.image_embeds).split(list(sizes.values()), dim=-1)
        answers = dict(zip(sizes, parts, strict=True))
        answers["bins"] = answers["bins"].unflatten(-1, (NUM_PLACES, _NUM_BINS))
        return answers, self.patch_head(self.patch_norm(outputs.last_hidden_state[:, 1:]))

    def loss(self, stills: Stills) -> Float[Tensor, ""]:
        """Return the sum of the losses of all answers.

        Args:
            stills: A batch with images of one object and of two.

        Returns:
            Cross-entropies and squared errors; separation and axis only for images of two objects.
        """
        answers, patches = self(stills.picture)
        is_pair = stills.is_pair
        counts = torch.ones_like(stills.place)
        counts[:, -1] = is_pair
        binned = F.cross_entropy(
            answers["bins"].transpose(1, 2), _bin(stills.place), reduction="none"
        )
        place = (answers["place"] - stills.place).square()
        axis = (answers["axis"] - stills.axis).square().mean(dim=-1)
        binary = F.binary_cross_entropy_with_logits
        return (
            binary(answers["is_pair"].squeeze(-1), is_pair)
            + ((binned + 10.0 * place) * counts).sum() / counts.sum()
            + (axis * is_pair).sum() / is_pair.sum()
            + binary(answers["shape"], stills.shape)
            + binary(answers["colour"], stills.colour)
            + 4.0 * F.mse_loss(patches[..., 0], stills.cover)
            + 4.0 * F.mse_loss(patches[..., 1:], stills.offset)
        )

    @torch.no_grad()
    def score(self, stills: Stills) -> dict[str, float]:
        """Measure the accuracy of the answers.

        Args:
            stills: Images of one object and of two.

        Returns:
            Shares of correct answers, 0 to 1: the number of objects, the tenth of each position
            (of the separation for two objects only), all shapes, and all colours of an image.
        """
        self.eval()
        answers, _ = self(stills.picture)
        right_bin = (answers["bins"].argmax(dim=-1) == _bin(stills.place)).float()
        two = stills.is_pair == 1
        right = {
            "number of objects": (answers["is_pair"].squeeze(-1) > 0) == two,
            "x": right_bin[:, 0],
            "y": right_bin[:, 1],
            "size": right_bin[:, 2],
            "separation": right_bin[two, 3],
            "shapes": ((answers["shape"] > 0) == (stills.shape > 0)).all(dim=-1),
            "colours": ((answers["colour"] > 0) == (stills.colour > 0)).all(dim=-1),
        }
        return {name: float(values.float().mean()) for name, values in right.items()}


def pretrain(
    *, seed: int, num_steps: int, num_stills: int
) -> tuple[CLIPVisionModelWithProjection, dict[str, float]]:
    """Draw images, train a new tower on them, and measure it on new images.

    Args:
        seed: Determines images, initial weights and order. Equal seeds give equal weights on the
            same machine with one thread.
        num_steps: Optimiser steps: a tenth is warm-up, then a cosine to zero.
        num_stills: Training images.

    Returns:
        The tower without its answer heads, and the scores.

    Raises:
        ValueError: If there are no steps, or fewer images than a batch has.
    """
    check_at_least(1, {"num_steps": num_steps})
    check_at_least(_BATCH_SIZE, {"num_stills": num_stills})
    config = tiny_clip_config()
    stills = _collect(num_stills, seed=seed, config=config, doing="Drawing pictures")
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        reader = StillReader(CLIPVisionModelWithProjection(config))
    optimizer = torch.optim.AdamW(reader.parameters(), lr=_PEAK_LR, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=_PEAK_LR, total_steps=num_steps + 1, pct_start=0.1, cycle_momentum=False
    )
    reader.train()
    for _ in track(range(num_steps), total=num_steps, doing="Training the tower"):
        batch = stills.select(torch.randint(len(stills), (_BATCH_SIZE,), generator=generator))
        optimizer.zero_grad()
        reader.loss(batch).backward()
        nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    held_out = _collect(
        min(2000, num_stills), seed=seed + _HELD_OUT_SEED, config=config, doing="Drawing the test"
    )
    return reader.tower.eval(), reader.score(held_out)


def main(argv: list[str] | None = None) -> int:
    """Pre-train the tower and write it as a Hugging Face folder.

    Args:
        argv: Arguments; ``None`` takes the process's own.

    Returns:
        The exit status: 0, or 1 after an error message.
    """
    parser = argparse.ArgumentParser(
        prog="python -m pks4_lightning.demo.tiny_clip.pretrain",
        description="Train a tiny vision tower with CLIP's architecture on images of the demo's "
        "objects.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to create")
    parser.add_argument("--seed", type=int, default=0, help="seed of images and weights")
    parser.add_argument("--steps", type=int, default=2000, help="optimiser steps")
    parser.add_argument("--stills", type=int, default=20000, help="number of training images")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    start = time.perf_counter()
    try:
        if arguments.out.exists():
            raise ValueError(f"{arguments.out} exists; remove it or choose another folder.")
        tower, scores = pretrain(
            seed=arguments.seed, num_steps=arguments.steps, num_stills=arguments.stills
        )
        command = (
            f"{parser.prog} --out {arguments.out.name} --seed {arguments.seed} "
            f"--steps {arguments.steps} --stills {arguments.stills}"
        )
        seconds = time.perf_counter() - start
        _save(tower, arguments.out, readme=_readme(command, seconds=seconds, scores=scores))
    except (ValueError, OSError) as error:
        logger.error("%s", error)
        return 1
    logger.info("Wrote %s after %.0f s.", arguments.out, seconds)
    return 0


def _bin(place: Float[Tensor, "N 4"]) -> Tensor:
    """Return the tenth of the range that each position is in."""
    return (place * _NUM_BINS).long().clamp(0, _NUM_BINS - 1)


def _collect(num: int, *, seed: int, config: CLIPVisionConfig, doing: str) -> Stills:
    """Draw images and join them into one batch."""
    drawn = draw_stills(num, seed=seed, image_size=config.image_size, patch_size=config.patch_size)
    return Stills.join(list(track(drawn, total=num, doing=doing)))


def _save(tower: CLIPVisionModelWithProjection, folder: Path, *, readme: str) -> None:
    """Write the folder atomically."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=".pretrain-") as scratch:
        whole = Path(scratch) / folder.name
        tower.save_pretrained(whole)
        (whole / "README.md").write_text(readme, encoding="utf-8")
        whole.replace(folder)


def _readme(command: str, *, seconds: float, scores: dict[str, float]) -> str:
    """Return the folder's README: its contents and how it was made."""
    rows = "\n".join(f"| {name} | {value:.3f} |" for name, value in scores.items())
    return f"""# A tiny stand-in for CLIP's vision tower

CLIP's architecture (`CLIPVisionModelWithProjection`), 64 wide, 4 blocks, 4 heads, 48 pixels,
patches of 8, projection to 64. **It is not CLIP and was not trained on text:** it was trained with
labels to locate and describe textured shapes in single synthetic pictures. It exists so that the
demo can start from an image-pretrained tower on two CPU cores. It has never seen two frames of a
clip, or anything else that reveals the direction of a motion.

    {command}

took {seconds:.0f} s with one CPU thread. Accuracy on pictures that it had not seen
(positions in tenths of their range; separation if there are two objects; all shapes, and all
colours, of a picture at once):

| question | accuracy |
|---|---|
{rows}
"""


if __name__ == "__main__":
    raise SystemExit(main())
