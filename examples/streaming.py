"""Check that a causal classifier predicts the same frame by frame as from the whole clip."""

import sys
from pathlib import Path

import torch
from demo_videos import demo_videos

from pks4_lightning import PKS4Config, VideoDataModule, build_classifier
from pks4_lightning.demo.tiny_clip.assets import tiny_clip_folder


def main(videos: Path) -> float:
    """Return the largest difference between stream and whole clip, over all frames."""
    torch.manual_seed(0)
    config = PKS4Config(
        num_classes=8,
        backbone=str(tiny_clip_folder()),
        insert_after=2,
        window_size=7,
        causal=True,
    )
    classifier = build_classifier(config).eval()
    data = VideoDataModule(str(videos), num_frames=12, frame_size=48, resize=48, num_workers=0)
    data.setup("validate")
    clip = data.to_model_input(next(iter(data.val_dataloader())))[:1]

    state = classifier.initial_state(1)
    largest = 0.0
    with torch.inference_mode():
        for number in range(clip.shape[2]):
            logits, state = classifier.step(clip[:, :, number], state)
            whole = classifier(clip[:, :, : number + 1])
            largest = max(largest, float((logits - whole).abs().max()))
    return largest


if __name__ == "__main__":
    print(f"stream and whole clip differ by at most {main(demo_videos(Path(sys.argv[1]))):.1e}")
