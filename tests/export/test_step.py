"""``pks4 export --step``: a causal classifier's step, in files that run without the package."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

import pks4_lightning
from pks4_lightning.__main__ import main
from pks4_lightning.export.scripts import stream
from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.pretrained import ClipInput, save_weights
from pks4_lightning.timeline.pacing import at_rate
from pks4_lightning.timeline.sources import open_source
from tests.conftest import TINY
from tests.data.video.test_orientation import write as write_turned
from tests.helpers.containers import Recipe, write_file
from tests.helpers.media import Clip, read_number, without_stamps, write_clip

ALONE = """
import json, sys
for name in {blocked!r}:
    sys.modules[name] = None  # an import of it fails
sys.path.insert(0, {folder!r})
import numpy as np
import run
followed = [[(now, scores.tolist()) for now, scores in run.follow(path)] for path in sys.argv[1:]]
step, spec = run.load_model(), json.loads((run.HERE / "preprocessing.json").read_text())
frames = np.load({frames!r})
state = [np.zeros((len(frames), *shape), np.float32) for shape in spec["state"].values()]
answers = []
for number in range(frames.shape[2]):
    logits, *state = step(frames[:, :, number], *state)
    answers.append(logits.tolist())
print(json.dumps([followed, answers]))
"""


def numbered(frame):
    return read_number(frame.to_ndarray(format="rgb24"))


def published(folder, **settings):
    """Write an untrained classifier as `pks4 export-weights` would."""
    torch.manual_seed(0)
    sizes = yaml.safe_load(TINY.read_text())["model"]["classifier"]
    config = PKS4Config(**sizes | settings)
    classifier = build_classifier(config)
    if settings.get("causal"):
        torch.nn.init.normal_(classifier.pks4.scanner.out_proj.weight, std=0.3)  # zero by default
    clip = ClipInput(
        label_names=list("abcdefgh"), num_frames=4, resize=36, frame_size=32,
        mean=[0.5] * 3, std=[0.25] * 3,
    )  # fmt: skip
    save_weights(folder, config=config, weights=classifier.state_dict(), clip=clip)
    return folder


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    return published(tmp_path_factory.mktemp("step") / "causal", causal=True)


@pytest.fixture(scope="module")
def exported(causal, tmp_path_factory):
    """Return the folder of an export, created on first use."""
    place = tmp_path_factory.mktemp("exports")

    def exported(to):
        if not (place / to).exists():
            given = ["--ckpt_path", str(causal), "--to", to, "--out", str(place / to)]
            assert main(["export", "--step", *given]) == 0
        return place / to

    return exported


SLOW = [pytest.mark.slow, pytest.mark.timeout(1800)]  # compiling takes minutes
WAYS = [
    "torch",
    pytest.param("onnx", marks=SLOW),
    pytest.param("aoti", marks=SLOW),
]  # compiling takes minutes


@pytest.mark.parity
@pytest.mark.parametrize("to", WAYS)
def test_each_way_is_verified_over_whole_streams(to, exported):
    place = exported(to)
    parity = json.loads((place / "parity.json").read_text())
    assert 0 <= parity["max_abs_difference"] < 1e-5 < parity["largest_logit"]
    assert parity["frames_of_streams"] == {"1": 50, "3": 10}
    assert {path.name for path in place.iterdir()} == {
        {"onnx": "model.onnx", "torch": "model.pt2", "aoti": "model.aoti.pt2"}[to],
        "labels.txt", "preprocessing.json", "parity.json", "run.py", "video.py",
        ".written_by_pks4.json",
    }  # fmt: skip


@pytest.mark.parity
@pytest.mark.parametrize("to", [pytest.param("torch", marks=SLOW), *WAYS[1:]])
def test_a_standalone_script_follows_streams_like_the_package(to, causal, exported, tmp_path):
    model = pks4_lightning.load(causal, device="cpu")
    torch.manual_seed(1)
    frames = torch.randn(2, 3, 12, 32, 32)
    np.save(tmp_path / "frames.npy", frames.numpy())
    videos = [
        write_clip(tmp_path / "plain", Clip(".mp4", num_frames=30)),
        write_turned(tmp_path / "mirrored.mp4", (90, True, False)),
    ]
    blocked = ["pks4_lightning", "transformers", "lightning", *(["torch"] if to == "onnx" else [])]
    code = ALONE.format(
        blocked=blocked, folder=str(exported(to)), frames=str(tmp_path / "frames.npy")
    )
    run = subprocess.run(
        [sys.executable, "-c", code, *videos], capture_output=True, text=True, check=True
    )
    followed, answers = json.loads(run.stdout)

    for number, logits in enumerate(answers):  # compare with the clip of all frames so far
        whole = model.logits(frames[:, :, : number + 1])
        torch.testing.assert_close(torch.tensor(logits), whole, rtol=0, atol=1e-5)

    for path, found in zip(videos, followed, strict=True):
        out = tmp_path / "events.jsonl"
        given = ["--ckpt_path", str(causal), "--source", str(path), "--device", "cpu"]
        assert main(["stream", *given, "--num_best", "8", "--out", str(out)]) == 0
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        assert [now for now, _ in found] == pytest.approx([line["time"] for line in lines])
        for (_, scores), line in zip(found, lines, strict=True):
            expected = dict(line["best"])
            assert dict(zip("abcdefgh", scores, strict=True)) == pytest.approx(expected, abs=6e-5)


@pytest.mark.parametrize("rate", [4.0, 20.0])
def test_a_stream_shows_its_frames_when_the_package_does(tmp_path, rate):
    """Also those of H.264 in AVI, whose time stamps are out of order, and joined recordings."""
    plain = write_clip(tmp_path / "plain", Clip(".mp4", b_frames=2))
    joined = write_file(tmp_path / "joined", Recipe(".ts", "libx264", 30, b_frames=2, joined=True))
    for path in (plain, without_stamps(plain), joined):
        found = [(now, numbered(frame)) for now, frame in stream.at_rate(path, rate)]
        with open_source(str(path)) as source:
            ticks = at_rate(source.frames, rate)
            assert found == [(tick.time, numbered(tick.frame)) for tick in ticks]
        assert path == joined or len({number for _, number in found}) == len(found)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "uses later frames in every block, so this classifier cannot follow a stream"),
        ({"class_route": "none"}, "answers 2 frames late, and a step answers at once"),
        ({"class_route": "none", "scanner": "attention"}, "reads the whole clip at once"),
        ({"temporal": "st_adapter"}, "is not PKS⁴'s and keeps no state of a stream"),
    ],
    ids=str,
)
def test_classifiers_without_a_step_are_refused_in_one_sentence(settings, said, tmp_path, capsys):
    checkpoint = published(tmp_path / "published", **settings)
    given = ["--ckpt_path", str(checkpoint), "--to", "torch", "--out", str(tmp_path / "out")]
    assert main(["export", "--step", *given]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "train with model.classifier" in error or "export it without --step" in error
    assert not (tmp_path / "out").exists()
