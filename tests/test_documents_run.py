"""Every shell command in the README and docs runs, page by page, in the order of the page.

The documents' folders are stand-ins that hold the demo's videos, and all towers are one tiny tower.
What a command would do for hours is cut short by settings added at its end; the rest is as
documented. A command that cannot run here says in its document what it needs, such as a network.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter

import pytest
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from pks4_lightning.__main__ import COMMANDS, main
from pks4_lightning.experiments.evidence.tasks import TASKS
from tests.conftest import ROOT, TINY
from tests.helpers.documents import commands_of, documents

PAGES = [page for page in documents() if commands_of(page)]
GESTURES = ("left", "right", "up", "down", *TASKS["gestures"].classes[4:])
RUN_BY_OTHERS = ("make demo", "make test")
NEED_WHAT_THEIR_NAMES_SAY = ("docker ", "git clone ", "pip install ")
PLACES = ("/data/", "/my/", "/scratch/")
CPU = ("--trainer.accelerator=cpu", "--data.num_workers=0")
TRAINING = (
    *CPU,
    *("--trainer.max_epochs=1", "--trainer.limit_train_batches=1", "--trainer.limit_val_batches=1"),
    *(
        "--trainer.limit_test_batches=1",
        "--trainer.precision=32-true",
        "--data.batch_size=2",
        "--data.num_repeats=1",
    ),
    *("--model.recipe.reference_batch=2", "--model.recipe.warmup_epochs=0"),
)
VIDEOMAMBA = "--model.classifier.network=videomamba_ti"  # the smallest
SPLITS = ("train", "val", "test")
CLASSES = ("--data.augmentation.flip_label_pairs=null", "--model.classifier.num_classes=8")


def is_run(command):
    return command.words.startswith(("pks4 ", "python ")) and not command.needs


def shortened(command, words, tower):
    """Return what is added to a command: tiny towers, few videos, one step, one seed."""
    line = " ".join(words)
    backbone = [f"--model.classifier.backbone={tower}"]
    match command:
        case "fit" if "--ckpt_path" in words and "--config" not in words:
            return TRAINING  # the rest is in the checkpoint
        case "fit" if "/data/matches" in line:
            return [*TRAINING, *backbone]
        case "fit" if "first_look" in words:  # has its own tiny tower
            return [*TRAINING, *CLASSES]
        case "fit" if "peers/videomamba" in line:
            return [*TRAINING, *CLASSES, "--model.classifier.pretrained=false", VIDEOMAMBA]
        case "fit":
            return [*TRAINING, *CLASSES, *backbone]
        case "test":
            return [*CPU, "--trainer.limit_test_batches=1"]
        case "stretch" if "videomamba" in line:
            return ["--data.num_workers=0", "--frames", "4", "--resolutions", "112"]
        case "predict" | "features" | "stretch" | "retrieve":
            return ["--data.num_workers=0"]
        case "data check" | "data show" if "ssv2" in words:
            return CLASSES
        case "demo-data":
            return ["--num_train", "8", "--num_test", "4", "--jobs", "0"]
        case "demo":
            return ["--seeds", "0", "--epochs=1", *(f"--num_{each}=8" for each in SPLITS)]
        case "evidence":
            folds = [] if "motion" in words else ["--folds=2"]
            return [*TRAINING, *backbone, *folds, "--seeds", "0", "--arms", "average"]
        case "compare" if "--folds" in words:
            return [*TRAINING, *backbone, "--folds=2", "--models", "frame_average"]
        case "ablate" if "--folds" in words:
            return [*TRAINING, "--folds=2", "--table", "6", "--seeds", "0", "--rates", "1e-3"]
        case "compare" | "ablate" if "--config" in words:
            return ["--print", *backbone]
        case "compare" | "ablate":
            return ["--print", "--data.root", "data/ssv2"]
    return []


@pytest.fixture(scope="module")
def tower(tmp_path_factory):
    """A CLIP tower with twelve blocks and patches of 16 pixels, like ViT-B/16, but 16 wide."""
    sizes = {"hidden_size": 16, "intermediate_size": 32, "projection_dim": 16}
    heads = {"num_attention_heads": 2, "num_hidden_layers": 12, "patch_size": 16, "image_size": 224}
    folder = tmp_path_factory.mktemp("tower")
    CLIPVisionModelWithProjection(CLIPVisionConfig(**sizes, **heads)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def world(motion_set, tower, tmp_path_factory):
    """A folder with the documents' folders and checkpoints. Copy it; do not write into it."""
    root = tmp_path_factory.mktemp("world")
    entries = [
        (motion_set / "videos" / f"{entry['id']}.webm", entry["template"], split)
        for split in ("train", "validation", "test")
        for entry in json.loads((motion_set / "labels" / f"{split}.json").read_text())
    ]
    shutil.copytree(motion_set, root / "data" / "ssv2")
    copies = dict.fromkeys(("clip.mp4", "other.mp4", "match.mp4", "more/1.mp4"), entries[0][0])
    copies |= dict.fromkeys(("my/new/videos/1.mp4", "data/matches/match.mp4"), entries[0][0])
    seen = Counter()
    ucf101 = {"train": [], "test": []}
    for video, template, split in entries:
        label = re.sub(r"\W+", "", template)
        number = seen[label] = seen[label] + 1
        copies[f"my/videos/{label}/person{number}/{number}.mp4"] = video
        copies[f"my/clips/{video.name}"] = video
        copies[f"data/ucf101/{label}/v_{label}_g{number:02}_c01.avi"] = video
        ucf101["test" if split == "test" else "train"].append(
            f"{label}/v_{label}_g{number:02}_c01.avi"
        )
        gesture = GESTURES[len(copies) % 10]
        copies[f"EgoGestAR/testvideo/testvideo_{gesture}_{len(copies)}.mp4"] = video
    for name, video in copies.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(video, root / name)
    classes = "".join(f"{number} {label}\n" for number, label in enumerate(sorted(seen), start=1))
    (root / "data" / "ucf101" / "classInd.txt").write_text(classes)
    for split, lines in ucf101.items():
        (root / "data" / "ucf101" / f"{split}list01.txt").write_text("\n".join(lines))
    for split in ("train", "val"):
        (root / "data" / "matches" / f"{split}.csv").write_text(
            "video,start,end,label\nmatch.mp4,0.0,0.5,serve\nmatch.mp4,0:00:00.5,0:00:01,return\n"
        )
    (root / "my" / "clips" / "clips.csv").write_text(
        "path,label,group\n"
        + "".join(
            f'{video.name},"{template}",{number % 5}\n'
            for number, (video, template, _) in enumerate(entries)
        )
    )
    assert main(["data", "split", str(root / "my" / "videos"), "--group", "folder"]) == 0
    (root / "my.yaml").write_text(TINY.read_text())
    (root / "recipes").mkdir()
    text = (ROOT / "docs" / "extending.md").read_text()
    for name, code in re.findall(r"complete\s`(\w+\.py)`:\n\n```python\n(.*?)```", text, re.DOTALL):
        (root / name).write_text(code)
    (root / "my_package.py").write_text(
        "from lightning.pytorch import Callback\n\n\nclass MyCallback(Callback):\n    pass\n"
    )
    for name, causal in (("ssv2_b16_f8", False), ("causal", True)):
        folder = root / "runs" / name
        run = ["fit", "--config", "ssv2", "--data.root", str(root / "data" / "ssv2")]
        run += [*TRAINING, *CLASSES, f"--model.classifier.backbone={tower}"]
        run += [f"--model.classifier.causal={causal}", f"--trainer.default_root_dir={folder}"]
        assert main(run) == 0
    shutil.copytree(root / "runs" / "ssv2_b16_f8", root / "runs" / "my_videos")
    for name in ("best", "plain", "last"):
        shutil.copy(
            root / "runs" / "ssv2_b16_f8" / "checkpoints" / "best.ckpt", root / f"{name}.ckpt"
        )
    return root


def remove_lists(root):
    for path in (root / "my" / "videos").glob("*.csv"):
        path.unlink()


def test_every_command_is_run_or_says_what_it_needs():
    for page in PAGES:
        for command in commands_of(page):
            excused = (*RUN_BY_OTHERS, *NEED_WHAT_THEIR_NAMES_SAY)
            assert is_run(command) or command.needs or command.words.startswith(excused), (
                f"{command.page}: {command.line}"
            )


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_commands_of_a_page_run(page, world, tower, tmp_path, monkeypatch, capfd):
    root = tmp_path / "world"
    shutil.copytree(world, root)
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(root)
    for command in commands_of(page):
        if not is_run(command):
            continue
        words = shlex.split(command.words, comments=True)
        words = words[: words.index(">")] if ">" in words else words
        words = [
            f"{root}{word}" if word.startswith(("/data/", "/my/", "/scratch/")) else word
            for word in words
        ]
        if words[0] == "python":
            ran = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True)
            assert ran.returncode == 0, f"{command.line}: {ran.stderr}"
            continue
        name = next(name for name in COMMANDS if name.split() == words[1 : 1 + len(name.split())])
        monkeypatch.setenv("PKS4_ALLOW_IMPORTS", command.variables.get("PKS4_ALLOW_IMPORTS", ""))
        if name == "fit" and "--ckpt_path" not in words:
            shutil.rmtree(root / "runs", ignore_errors=True)  # a new start
        if name == "data split":
            remove_lists(root)
        status = main([*words[1:], *shortened(name, words, tower)])
        for run in (world / "runs").iterdir():
            if not (root / "runs" / run.name).exists():
                shutil.copytree(run, root / "runs" / run.name)
        assert status == 0, f"{command.line}: {capfd.readouterr().err}"
