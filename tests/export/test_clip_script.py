"""The exported script makes the same clips as the package, from many kinds of videos."""

import inspect
import json
import os
import subprocess
import sys
import wave
from dataclasses import replace

import av
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from PIL.ExifTags import Base

import pks4_lightning
from pks4_lightning.export.folder import script_files
from pks4_lightning.export.preprocessing import clip_preprocessing
from pks4_lightning.export.scripts import clips, stream
from pks4_lightning.export.scripts.clips import read_clips, scores
from pks4_lightning.export.scripts.video import decode, picture
from pks4_lightning.export.ways import WAYS
from pks4_lightning.inference import TrainedClassifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.training.checkpoints.trained import Trained
from tests.data.video.test_orientation import TURNED
from tests.data.video.test_orientation import write as write_turned
from tests.helpers.containers import Recipe, write_file
from tests.helpers.media import Clip, write_clip

KINDS = {
    "wide": Clip(".mp4", b_frames=2),
    "high": Clip(".webm", height=90, width=64),
    "short": Clip(".mkv", num_frames=3),
    "square": Clip(".avi", height=36, width=36),
}


@pytest.fixture(scope="module")
def model(trained):
    return pks4_lightning.load(trained / "checkpoints" / "best.ckpt", device="cpu")


def with_clip(model, **changes):
    return TrainedClassifier(
        model.classifier, replace(model.clip, **changes), device=model.device, dtype=model.dtype
    )


def assert_same_clips(model, path, folder, *, num_clips=1, num_crops=1):
    trained = Trained(PKS4Config(num_classes=8), {}, model.clip, num_clips, num_crops)
    (folder / "preprocessing.json").write_text(json.dumps(clip_preprocessing(trained)))
    found = torch.from_numpy(read_clips(path, folder))
    assert found.dtype == torch.float32
    expected = model.preprocess(path, num_clips=num_clips, num_crops=num_crops)
    # the script orders views by crop, then by clip
    expected = expected.unflatten(0, (num_clips, num_crops)).transpose(0, 1).flatten(0, 1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("num_clips", "num_crops"), [(1, 1), (2, 3)])
def test_clips_are_those_of_the_package(model, tmp_path, kind, num_clips, num_crops):
    path = write_clip(tmp_path / "clip", KINDS[kind])
    for resize in (model.clip.resize, 35, [33, 39]):  # leaves odd margins around the crop
        views = {"num_clips": num_clips, "num_crops": num_crops}
        assert_same_clips(with_clip(model, resize=resize), path, tmp_path, **views)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rate", "num_clips"), [(5.0, 1), (2.0, 2), (60.0, 3)])
def test_clips_at_a_fixed_rate_are_those_of_the_package(model, tmp_path, kind, rate, num_clips):
    path = write_clip(tmp_path / "clip", KINDS[kind])
    assert_same_clips(with_clip(model, frame_rate=rate), path, tmp_path, num_clips=num_clips)


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_clips_of_joined_recordings_are_those_of_the_package(model, tmp_path, codec):
    path = write_file(tmp_path / "clip", Recipe(".ts", codec, 25, b_frames=2, joined=True))
    assert_same_clips(with_clip(model, frame_rate=2.5), path, tmp_path, num_clips=2)


def test_frames_of_another_size_are_scaled_to_that_of_the_first(model, tmp_path):
    small, large = (
        write_file(tmp_path / f"{width}", Recipe(".ts", "libx264", width=width))
        for width in (64, 96)
    )
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    sizes = {(frame.width, frame.height) for frame in decode(both)}
    assert sizes == {(64, 48), (96, 48)}
    assert_same_clips(model, both, tmp_path, num_clips=2)


@pytest.mark.parametrize("turn", TURNED, ids=str)
def test_turned_and_mirrored_videos_are_upright(model, tmp_path, turn):
    path = write_turned(tmp_path / "clip.mp4", turn)
    for resize in (36, [34, 40]):
        assert_same_clips(with_clip(model, resize=resize), path, tmp_path, num_crops=3)


@pytest.mark.parametrize("tag", [1, 3, 6, 8])
def test_pictures_with_metadata_that_pyav_does_not_know_are_upright(tmp_path, tag):
    exif = Image.Exif()
    exif[Base.Orientation] = tag
    path = tmp_path / "00001.jpg"
    Image.effect_noise((64, 40), 40).convert("RGB").save(path, exif=exif, quality=95)
    (frame,) = decode(path)
    with Image.open(path) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    found = picture(frame, 40)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 3  # different JPEG decoders


def test_frames_are_counted_exactly(model):
    """Frame positions are fractions that floating point cannot represent exactly."""
    for num_clips, num_frames in ((1, 8), (3, 7), (10, 32)):
        clip = replace(model.clip, num_frames=num_frames)
        spec = clip_preprocessing(Trained(PKS4Config(num_classes=8), {}, clip, num_clips))
        parts = num_clips + 1
        for total in (*range(1, 500), 99_999):
            found = (total * np.array(spec["positions"]) + 1e-6).astype(int)
            exact = [
                [total * (t * parts + k + 1) // (num_frames * parts) for t in range(num_frames)]
                for k in range(num_clips)
            ]
            assert found.tolist() == exact


def test_scores_are_a_mean_of_softmax_for_any_logits():
    logits = np.array([[1000.0, 0.0], [0.0, 0.0]], np.float32)
    assert scores(logits) == pytest.approx([0.75, 0.25])


RUNTIME = """
import numpy as np
class InferenceSession:
    def __init__(self, path): pass
    def get_inputs(self): return [self]
    name = "video"
    def run(self, outputs, inputs): return [np.float32([[0, 1]])]
"""


def write_script(folder, script):
    for name, text in script_files(script, WAYS["onnx"]).items():
        (folder / name).write_text(text)


@pytest.mark.parametrize("script", [clips, stream], ids=lambda script: script.__name__)
def test_labels_are_read_as_utf_8_whatever_the_locale(model, tmp_path, script):
    path = write_clip(tmp_path / "clip", Clip(".mp4", num_frames=5))
    clip = replace(model.clip, frame_rate=4.0)
    spec = clip_preprocessing(Trained(PKS4Config(num_classes=2), {}, clip))
    (tmp_path / "preprocessing.json").write_text(json.dumps({**spec, "state": {}}))
    (tmp_path / "labels.txt").write_bytes("run\nécrire\n".encode())
    write_script(tmp_path, script)
    (tmp_path / "onnxruntime.py").write_text(RUNTIME)
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    run = subprocess.run(
        [sys.executable, str(tmp_path / "run.py"), str(path)],
        env=os.environ | ascii_only | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[0].endswith("\técrire")


@pytest.mark.parametrize("script", [clips, stream], ids=lambda script: script.__name__)
def test_a_script_says_what_it_cannot_read(tmp_path, script):
    (tmp_path / "preprocessing.json").write_text('{"state": {}, "frame_rate": 4, "positions": []}')
    (tmp_path / "labels.txt").write_text("run")
    write_script(tmp_path, script)
    (tmp_path / "onnxruntime.py").write_text(RUNTIME)
    silent = tmp_path / "sound.wav"
    with wave.open(str(silent), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        sound.writeframes(bytes(8000))
    blank = tmp_path / "blank.avi"
    with av.open(str(blank), "w") as container:
        container.add_stream("mpeg4", rate=25, width=64, height=48, pix_fmt="yuv420p")
        container.start_encoding()
    for given, said in (
        ([], "python run.py clip.mp4"),
        (["/nowhere.mp4"], "/nowhere.mp4: No such file or directory"),
        ([str(tmp_path)], f"{tmp_path}: Is a directory"),
        ([str(silent)], f"{silent}: No video stream"),
        ([str(blank)], f"{blank}: No frames"),
    ):
        run = subprocess.run(
            [sys.executable, str(tmp_path / "run.py"), *given], capture_output=True, text=True
        )
        assert run.returncode == 1
        assert said in run.stderr
        assert run.stderr.count("\n") == 1


@pytest.mark.parametrize("script", [clips, stream], ids=lambda script: script.__name__)
def test_a_script_is_short_and_needs_three_packages(script):
    imported = set()
    for text in script_files(script, WAYS["onnx"]).values():
        code = [line for line in text.splitlines() if line.strip()]
        assert len(code) <= 60
        imported |= {line.split()[1].partition(".")[0] for line in code if "import " in line}
    assert imported - sys.stdlib_module_names == {"av", "numpy", "onnxruntime", "video"}


def test_both_scripts_load_a_model_alike():
    assert inspect.getsource(clips.load_model) == inspect.getsource(stream.load_model)
