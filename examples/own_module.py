"""Train your own temporal module in an image tower, with your own training loop."""

import sys
from pathlib import Path

import torch
from demo_videos import demo_videos
from torch import Tensor, nn

from pks4_lightning import PKS4Config, VideoDataModule, build_classifier
from pks4_lightning.demo.tiny_clip.assets import tiny_clip_folder


class FrameDifference(nn.Module):
    """Add to every patch a projection of its change since the previous frame."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.project = nn.Linear(d_model, d_model)
        nn.init.zeros_(self.project.weight)  # at first, the module changes nothing
        nn.init.zeros_(self.project.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the update to add to the tokens (clips × frames × patches × width)."""
        update: Tensor = self.project(x - torch.cat([x[:, :1], x[:, :-1]], dim=1))
        return update


def main(videos: Path, num_steps: int = 60) -> list[float]:
    """Return the loss of every step."""
    torch.manual_seed(0)
    data = VideoDataModule(str(videos), frame_size=48, resize=48, batch_size=8, num_workers=0)
    data.setup("fit")
    config = PKS4Config(
        num_classes=8, backbone=str(tiny_clip_folder()), insert_after=2, window_size=7
    )
    classifier = build_classifier(config)
    classifier.pks4.scanner = FrameDifference(classifier.d_model)

    optimiser = torch.optim.AdamW(classifier.parameters(), lr=1e-3)
    losses: list[float] = []
    while len(losses) < num_steps:
        for batch in data.train_dataloader():
            logits = classifier(data.to_model_input(batch))
            loss = nn.functional.cross_entropy(logits, batch["label"])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    return losses


if __name__ == "__main__":
    curve = main(demo_videos(Path(sys.argv[1])))
    print(f"loss: {curve[0]:.2f} at first, {sum(curve[-10:]) / 10:.2f} in the last ten steps")
