"""The folders and checkpoints that the documents' commands name, with the demo's videos in them."""

import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from pks4_lightning.__main__ import main
from pks4_lightning.experiments.evidence.tasks import TASKS
from tests.conftest import ROOT, TINY

__all__ = ["CLASSES", "TRAINING", "build_world", "write_tower"]

TRAINING = (
    *("--trainer.accelerator=cpu", "--data.num_workers=0", "--trainer.precision=32-true"),
    *("--trainer.max_epochs=1", "--trainer.limit_train_batches=1", "--trainer.limit_val_batches=1"),
    *("--trainer.limit_test_batches=1", "--data.batch_size=2", "--data.num_repeats=1"),
    *("--model.recipe.reference_batch=2", "--model.recipe.warmup_epochs=0"),
)
"""Settings of a training of one step."""
CLASSES = ("--data.augmentation.flip_label_pairs=null", "--model.classifier.num_classes=8")
"""The demo's videos have eight classes instead of Something-Something V2's 174."""


class Video(NamedTuple):
    """A video of the demo's set."""

    path: Path
    label: str
    split: str
    number: int
    """Number among those of its class, from 1."""


def write_tower(folder: Path) -> Path:
    """Write a CLIP tower with ViT-B/16's blocks and patches, but only 16 wide."""
    sizes = {"hidden_size": 16, "intermediate_size": 32, "projection_dim": 16}
    heads = {"num_attention_heads": 2, "num_hidden_layers": 12, "patch_size": 16, "image_size": 224}
    CLIPVisionModelWithProjection(CLIPVisionConfig(**sizes, **heads)).save_pretrained(folder)
    return folder


def build_world(root: Path, motion_set: Path, tower: Path) -> Path:
    """Write everything into a folder, which stands for the root directory and for the current one.

    Args:
        root: The folder.
        motion_set: A generated set in Something-Something V2's layout.
        tower: From :func:`write_tower`.
    """
    videos = _videos(motion_set)
    shutil.copytree(motion_set, root / "data" / "ssv2")
    for name in ("clip.mp4", "other.mp4", "match.mp4", "more/1.mp4", "my/new/videos/1.mp4"):
        _copy(videos[0], root / name)
    _write_own_videos(root / "my", videos)
    _write_ucf101(root / "data" / "ucf101", videos)
    _write_matches(root / "data" / "matches", videos[0])
    gestures = TASKS["gestures"].classes
    for index, video in enumerate(videos):
        name = f"testvideo_{gestures[index % len(gestures)]}_{index}.mp4"
        _copy(video, root / "EgoGestAR" / "testvideo" / name)
    gesture_clips = str(root / "EgoGestAR" / "testvideo")
    assert main(["data", "groups", gesture_clips, "--num_groups", "6"]) == 0
    _write_settings_and_modules(root)
    _train(root, tower)
    return root


def _videos(motion_set: Path) -> list[Video]:
    seen: Counter[str] = Counter()
    videos = []
    for split in ("train", "validation", "test"):
        for entry in json.loads((motion_set / "labels" / f"{split}.json").read_text()):
            label = re.sub(r"\W+", "", entry["template"])
            seen[label] += 1
            path = motion_set / "videos" / f"{entry['id']}.webm"
            videos.append(Video(path, label, split, seen[label]))
    return videos


def _copy(video: Video, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(video.path, path)


def _write_own_videos(folder: Path, videos: list[Video]) -> None:
    """Write a folder per class and person, split by person, and a table of clips in groups."""
    table = ["path,label,group"]
    for video in videos:
        number = video.number
        _copy(video, folder / "videos" / video.label / f"person{number}" / f"{number}.mp4")
        _copy(video, folder / "clips" / video.path.name)
        table.append(f"{video.path.name},{video.label},scene {number % 3}")
    (folder / "clips" / "clips.csv").write_text("\n".join(table))
    assert main(["data", "split", str(folder / "videos"), "--group", "folder"]) == 0


def _write_ucf101(folder: Path, videos: list[Video]) -> None:
    lists: dict[str, list[str]] = {"trainlist01.txt": [], "testlist01.txt": []}
    for video in videos:
        name = f"{video.label}/v_{video.label}_g{video.number:02}_c01.avi"
        _copy(video, folder / name)
        lists["testlist01.txt" if video.split == "test" else "trainlist01.txt"].append(name)
    labels = sorted({video.label for video in videos})
    lists["classInd.txt"] = [f"{number} {label}" for number, label in enumerate(labels, start=1)]
    for name, lines in lists.items():
        (folder / name).write_text("\n".join(lines))


def _write_matches(folder: Path, video: Video) -> None:
    _copy(video, folder / "match.mp4")
    table = "video,start,end,label\nmatch.mp4,0.0,0.5,serve\nmatch.mp4,0:00:00.5,0:00:01,return\n"
    for split in ("train", "val"):
        (folder / f"{split}.csv").write_text(table)


def _write_settings_and_modules(root: Path) -> None:
    (root / "my.yaml").write_text(TINY.read_text())
    (root / "recipes").mkdir()
    (root / "recipes" / "st_adapter.yaml").write_text("model:\n  recipe:\n    base_lr: 0.01\n")
    text = (ROOT / "docs" / "extending.md").read_text()
    for name, code in re.findall(r"complete\s`(\w+\.py)`:\n\n```python\n(.*?)```", text, re.DOTALL):
        (root / name).write_text(code)
    (root / "my_package.py").write_text(
        "from lightning.pytorch import Callback\n\n\nclass MyCallback(Callback):\n    pass\n"
    )


def _train(root: Path, tower: Path) -> None:
    """Train the checkpoints that documents name without training them."""
    for name, causal in (("ssv2_b16_f8", "false"), ("causal", "true")):
        run = ["fit", "--config", "ssv2", "--data.root", str(root / "data" / "ssv2")]
        run += [*TRAINING, *CLASSES, f"--model.classifier.backbone={tower}"]
        run += ["--model.classifier.causal", causal]
        assert main([*run, f"--trainer.default_root_dir={root / 'runs' / name}"]) == 0
    shutil.copytree(root / "runs" / "ssv2_b16_f8", root / "runs" / "my_videos")
    for name in ("best", "plain", "last"):
        trained = root / "runs" / "ssv2_b16_f8" / "checkpoints" / "best.ckpt"
        shutil.copy(trained, root / f"{name}.ckpt")
