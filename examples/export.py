"""Export a trained classifier as a PyTorch program that runs without this package."""

import sys
from pathlib import Path

import torch
from demo_videos import demo_videos

import pks4_lightning
from pks4_lightning.export.graph import trace


def main(folder: Path, videos: Path) -> float:
    """Return the largest difference between the classifier and the exported program."""
    model = pks4_lightning.load(folder / "classifier.ckpt")  # written by train.py
    clip = model.preprocess(next((videos / "videos").glob("*.webm")))
    program = trace(model.classifier, num_frames=clip.shape[2], frame_size=clip.shape[-1])
    torch.export.save(program, folder / "classifier.pt2")
    exported = torch.export.load(folder / "classifier.pt2").module()
    with torch.inference_mode():
        return float((exported(clip) - model.classifier(clip)).abs().max())


if __name__ == "__main__":
    place = Path(sys.argv[1])
    print(f"classifier and program differ by at most {main(place, demo_videos(place)):.1e}")
