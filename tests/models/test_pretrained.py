import json
import resource
import subprocess
import sys

import pytest
import torch

from pks4_lightning import load
from pks4_lightning.__main__ import main
from pks4_lightning.cli.settings import saved_settings
from pks4_lightning.commands.sharing.export_weights import export_weights
from pks4_lightning.export.preprocessing import clip_preprocessing
from pks4_lightning.files import RECORD
from pks4_lightning.models import pretrained
from pks4_lightning.models.pretrained import DESCRIPTION, WEIGHTS, load_classifier, read_export
from pks4_lightning.training.checkpoints.reading import read_checkpoint
from pks4_lightning.training.checkpoints.trained import read_trained
from pks4_lightning.training.task import VideoClassificationTask
from tests.test_old_checkpoint import FIRST_READING as FIRST


@pytest.fixture
def exported(trained, tmp_path):
    folder = tmp_path / "exported"
    checkpoint = trained / "checkpoints" / "best.ckpt"
    assert main(["export-weights", "--ckpt_path", str(checkpoint), "--out", str(folder)]) == 0
    return folder


def change(folder, **keys):
    path = folder / DESCRIPTION
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def test_exported_weights_are_those_of_the_checkpoint_to_the_bit(trained, exported):
    checkpoint = trained / "checkpoints" / "best.ckpt"
    classifier, clip = load_classifier(exported)
    saved = read_checkpoint(checkpoint)["state_dict"]
    ours = {f"classifier.{name}": tensor for name, tensor in classifier.state_dict().items()}
    torch.testing.assert_close(ours, dict(saved), rtol=0, atol=0)
    task = VideoClassificationTask.load_from_checkpoint(checkpoint, weights_only=True).eval()
    video = torch.randn(2, 3, clip.num_frames, clip.frame_size, clip.frame_size)
    with torch.no_grad():
        assert torch.equal(classifier(video), task(video))
    assert clip.label_names == task.label_names
    assert (clip.num_frames, clip.resize, clip.frame_size) == (4, 36, 32)
    assert clip.mean[0] == 0.48145466


def test_an_export_keeps_its_reading_and_an_older_one_the_first(trained, tmp_path):
    content = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
    saved = content["hyper_parameters"]["classifier"]
    saved |= {"residual": "literal", "variation_ends": "negative", "dt_max": 0.5}
    torch.save(content, tmp_path / "other.ckpt")
    out = tmp_path / "out"
    assert main(["export-weights", f"--ckpt_path={tmp_path / 'other.ckpt'}", f"--out={out}"]) == 0
    config = read_export(out).config
    assert (config.residual, config.variation_ends, config.dt_max) == (
        "literal",
        "negative",
        0.5,
    )

    said = json.loads((out / DESCRIPTION).read_text())["classifier"]
    older = {name: value for name, value in said.items() if name not in FIRST}
    change(out, classifier=older)
    config = read_export(out).config
    assert {name: getattr(config, name) for name in FIRST} == FIRST


@pytest.fixture(scope="module")
def several_views(trained, tmp_path_factory):
    """A checkpoint whose tests score six views of a video in bfloat16."""
    content = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
    content["config"]["data"] |= {"num_clips": 2, "num_crops": 3}
    content["config"]["trainer"]["precision"] = "bf16-mixed"
    path = tmp_path_factory.mktemp("views") / "views.ckpt"
    torch.save(content, path)
    return path


@pytest.mark.parametrize("command", ["export-weights --out", "share --folder"])
def test_an_export_predicts_as_its_checkpoint(several_views, tmp_path, command):
    name, option = command.split()
    assert main([name, f"--ckpt_path={several_views}", f"{option}={tmp_path / 'out'}"]) == 0
    ours, theirs = (load(source, device="cpu") for source in (several_views, tmp_path / "out"))
    assert (theirs.num_clips, theirs.num_crops, theirs.dtype) == (2, 3, torch.bfloat16)
    draw = torch.Generator().manual_seed(0)
    video = torch.randint(256, (9, 40, 50, 3), dtype=torch.uint8, generator=draw)
    assert theirs.predict(video) == ours.predict(video)
    settings = saved_settings(str(tmp_path / "out"), command="predict")  # of `pks4 predict`
    assert (settings["data"]["num_clips"], settings["data"]["num_crops"]) == (2, 3)
    assert settings["trainer"] == {"precision": "bf16-mixed"}
    views = clip_preprocessing(read_trained(tmp_path / "out"))  # of `pks4 export`
    assert (len(views["starts"]), len(views["crops"])) == (2, 3)


def test_an_export_without_views_and_precision_keeps_the_defaults(exported):
    said = json.loads((exported / DESCRIPTION).read_text())
    del said["inference"]
    (exported / DESCRIPTION).write_text(json.dumps(said))
    model = load(exported, device="cpu")
    assert (model.num_clips, model.num_crops, model.dtype) == (1, 1, torch.float32)
    settings = saved_settings(str(exported), command="predict")
    assert not {"num_clips", "num_crops"} & set(settings["data"])
    assert settings["trainer"] == {}


@pytest.mark.parametrize(
    ("backbone", "published"),
    [
        ("openai/clip-vit-base-patch16", "openai/clip-vit-base-patch16"),
        ("pks4_lightning/demo/tiny_clip/weights", "pks4_lightning/demo/tiny_clip/weights"),
        ("/home/someone/secret/towers/b16", "b16"),
        ("~/towers/b16", "b16"),
        ("../towers/my/b16/", "b16"),
    ],
)
def test_an_export_contains_no_source_paths(trained, tmp_path, backbone, published):
    content = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
    content["hyper_parameters"]["classifier"]["backbone"] = backbone
    torch.save(content, tmp_path / "x.ckpt")
    out = tmp_path / "out"
    assert main(["export-weights", f"--ckpt_path={tmp_path / 'x.ckpt'}", f"--out={out}"]) == 0
    text = (out / DESCRIPTION).read_text()
    assert json.loads(text)["classifier"]["backbone"] == published
    assert not any(word in text for word in ("someone", "~", "..", str(tmp_path)))
    load_classifier(out)


def test_exported_weights_are_used_without_lightning(exported):
    code = (
        "import sys, torch\n"
        "from pks4_lightning.models.pretrained import load_classifier\n"
        "classifier, clip = load_classifier(sys.argv[1])\n"
        "size = clip.num_frames, clip.frame_size, clip.frame_size\n"
        "logits = classifier(torch.zeros(1, 3, *size))\n"
        "assert logits.shape == (1, len(clip.label_names))\n"
        "assert not {'lightning', 'pytorch_lightning', 'jsonargparse', 'av'} & set(sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, exported], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_an_export_is_replaced_and_nothing_else(trained, exported, capsys):
    checkpoint = trained / "checkpoints" / "last.ckpt"
    args = ["export-weights", f"--ckpt_path={checkpoint}", f"--out={exported}"]
    assert main(args) == 0
    assert {path.name for path in exported.iterdir()} == {DESCRIPTION, WEIGHTS, RECORD}
    assert len({path.stat().st_mode for path in exported.iterdir()}) == 1, "as the umask says"
    (exported / "thesis.tex").write_text("years of work")
    assert main(args) == 1
    assert "thesis.tex would be lost, and is not known" in capsys.readouterr().err


def test_an_export_is_not_touched_before_the_new_one_is_complete(trained, exported, monkeypatch):
    before = {path.name: path.read_bytes() for path in exported.iterdir()}

    def killed(path):
        assert path.name == WEIGHTS, "the new weights have been written"
        assert {path.name: path.read_bytes() for path in exported.iterdir()} == before
        raise KeyboardInterrupt

    monkeypatch.setattr(pretrained, "sha256_of", killed)
    with pytest.raises(KeyboardInterrupt):
        export_weights(trained / "checkpoints" / "last.ckpt", exported)
    monkeypatch.undo()
    load_classifier(exported)


@pytest.mark.parametrize(
    "command", ["export-weights --out", "share --folder", "export --to torch --out"]
)
@pytest.mark.parametrize(
    "name", ["README.md", "config.json", "run.py", "labels.txt", "classifier.json"]
)
def test_a_file_of_the_user_is_not_replaced_because_of_its_name(
    trained, tmp_path, capsys, command, name
):
    (tmp_path / name).write_text("years of work")
    checkpoint = trained / "checkpoints" / "best.ckpt"
    first, *options = command.split()
    assert main([first, f"--ckpt_path={checkpoint}", *options, str(tmp_path)]) == 1
    said = f"{tmp_path / name} would be lost, and is not known to be as pks4 wrote it"
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"pks4: error: {said}")
    assert (tmp_path / name).read_text() == "years of work"
    assert list(tmp_path.iterdir()) == [tmp_path / name]


@pytest.mark.parametrize(
    "command", ["export-weights --out", "share --folder", "export --to torch --out"]
)
@pytest.mark.parametrize("place", ["notes.txt", "notes.txt/below"])
def test_a_file_in_the_place_of_the_folder_is_one_sentence(
    trained, tmp_path, capsys, command, place
):
    (tmp_path / "notes.txt").write_text("years of work")
    checkpoint = trained / "checkpoints" / "best.ckpt"
    name, *options = command.split()
    assert main([name, f"--ckpt_path={checkpoint}", *options, str(tmp_path / place)]) == 1
    said = f"{tmp_path / 'notes.txt'} is a file, not a folder: choose a new or empty folder."
    assert capsys.readouterr().err.splitlines()[-1] == f"pks4: error: {said}"
    assert (tmp_path / "notes.txt").read_text() == "years of work"
    assert list(tmp_path.iterdir()) == [tmp_path / "notes.txt"]


@pytest.fixture
def full_disk():
    """Let no file grow beyond a thousand bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    "command", [["export-weights", "--out"], ["share", "--folder"]], ids=lambda words: words[0]
)
def test_a_full_disk_is_one_sentence_and_leaves_no_folder(
    trained, tmp_path, full_disk, capsys, command
):
    given = [command[0], f"--ckpt_path={trained / 'checkpoints' / 'best.ckpt'}", command[1]]
    assert main([*given, str(tmp_path / "out")]) == 1
    (line,) = [each for each in capsys.readouterr().err.splitlines() if "error" in each]
    assert line == "pks4: error: A safetensors file cannot be written: File too large."
    assert not list(tmp_path.iterdir())


def test_files_that_are_missing_or_changed_are_named(exported):
    weights = (exported / WEIGHTS).read_bytes()
    (exported / WEIGHTS).write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"weights\.safetensors is not the file that"):
        load_classifier(exported)
    (exported / WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match=r"There is no .*weights\.safetensors"):
        load_classifier(exported)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"format": 2}, "its format is 2, but this version of the package reads 1"),
        ({"clip": {}}, "missing"),
        ({"inference": {"views": 2}}, "views"),
        ({"classifier": {"num_classes": 0}}, r"num_classes is 0; it must be at least 1\.$"),
        ({"classifier": {"num_classes": 8, "nothing": 1}}, "nothing"),
    ],
    ids=["format", "clip", "inference", "number", "key"],
)
def test_a_description_that_was_edited_is_refused(exported, keys, words):
    change(exported, **keys)
    with pytest.raises(ValueError, match=rf"classifier\.json does not describe .*{words}"):
        load_classifier(exported)


def test_a_description_of_another_size_is_refused(exported):
    classifier = json.loads((exported / DESCRIPTION).read_text())["classifier"]
    change(exported, classifier={**classifier, "d_state": 8})
    with pytest.raises(ValueError, match=r"does not describe .*size mismatch for pks4\.scanner"):
        load_classifier(exported)


def test_only_a_checkpoint_is_exported(tmp_path, capsys):
    path = tmp_path / "x.ckpt"
    args = ["export-weights", f"--ckpt_path={path}", "--out", str(tmp_path / "out")]
    assert main(args) == 1
    assert "There is no checkpoint" in capsys.readouterr().err
    path.write_bytes(b"nothing")
    assert main(args) == 1
    assert "x.ckpt cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
