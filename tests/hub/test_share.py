"""Folders from `pks4 share` load with the same results, run no code and contain no local paths."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard, constants
from markdown_it import MarkdownIt
from transformers import AutoModelForVideoClassification

import pks4_lightning
from pks4_lightning.__main__ import main
from pks4_lightning.files import RECORD

FILES = {"weights.safetensors", "classifier.json", "config.json", "README.md", RECORD}


class Mark:
    """When unpickled, it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def checkpoint(trained):
    return trained / "checkpoints" / "best.ckpt"


@pytest.fixture(scope="module")
def metrics(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tested")
    given = [f"--ckpt_path={checkpoint}", f"--trainer.default_root_dir={folder}"]
    assert main(["test", *given]) == 0
    return folder / "test" / "metrics.json"


@pytest.fixture(scope="module")
def shared(checkpoint, metrics, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared") / "tiny"
    licences = ["--license=apache-2.0", "--tower_license=mit", "--data_license=research only"]
    given = [f"--ckpt_path={checkpoint}", f"--metrics={metrics}", "--dataset=Motion", *licences]
    assert main(["share", *given, f"--folder={folder}"]) == 0
    return folder


@pytest.fixture
def video():
    draw = torch.Generator().manual_seed(0)
    return torch.randint(256, (9, 40, 50, 3), dtype=torch.uint8, generator=draw)


def error_of(arguments, capsys):
    try:
        status = main(arguments)
    except SystemExit as end:
        status = end.code
    assert status in (1, 2)
    return capsys.readouterr().err.splitlines()[-1]


def test_the_card_contains_the_test_results(shared, metrics):
    assert {path.name for path in shared.iterdir()} == FILES
    said = json.loads(metrics.read_text())
    card = ModelCard.load(shared / "README.md")
    assert (card.data.license, card.data.pipeline_tag) == ("apache-2.0", "video-classification")
    assert card.data.model_name == "tiny"
    found = {result.metric_name: result for result in card.data.eval_results}
    for k in (1, 5):
        result = found[f"top-{k} accuracy"]
        assert result.metric_value == round(100 * said[f"test/video_top{k}"], 2)
        assert (result.dataset_name, result.dataset_split) == ("Motion", "test")
    assert f"{said['test/video_top1']:.2%} | " in card.text
    for words in (
        "4×1×1",
        "from each of 4 equal parts",
        "| mit |",
        "research only",
        "parameters, millions",
        "torch 2.",
        f"pks4-lightning {pks4_lightning.__version__}, ",
    ):
        assert words in card.text


def test_a_card_that_was_edited_is_not_replaced(shared, checkpoint, tmp_path, capsys):
    folder = tmp_path / "tiny"
    shutil.copytree(shared, folder)
    given = ["share", f"--ckpt_path={checkpoint}", f"--folder={folder}"]
    (folder / "README.md").write_text("by hand")
    assert f"{folder / 'README.md'} would be lost" in error_of(given, capsys)
    assert (folder / "README.md").read_text() == "by hand"
    shutil.copy(shared / "README.md", folder)
    assert main(given) == 0
    assert (folder / "README.md").read_text() != (shared / "README.md").read_text()


@pytest.mark.parametrize(
    "name", ["My | data", "- _a_\nb", '<b>*c*</b> `d` "e" [f](g) \\| $x$ ~~h~~ &amp; ```']
)
def test_no_name_breaks_the_card(checkpoint, metrics, tmp_path, name):
    content = torch.load(checkpoint, weights_only=True)
    content["hyper_parameters"]["classifier"]["backbone"] = name.replace("/", "")
    content["label_names"][0] = name
    torch.save(content, tmp_path / "other.ckpt")
    given = [f"--{each}={name}" for each in ("name", "dataset", "tower_license", "data_license")]
    source = [f"--ckpt_path={tmp_path / 'other.ckpt'}", f"--metrics={metrics}"]
    assert main(["share", *source, *given, f"--folder={tmp_path / 'out'}"]) == 0
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert card.data.eval_results[0].dataset_name == name
    page = MarkdownIt().enable(["table", "strikethrough"]).parse(card.text)
    read = [
        "".join(part.content for part in each.children) for each in page if each.type == "inline"
    ]
    line = " ".join(name.split())
    tower = line.replace("/", "")
    assert read[0] == line
    assert f"({line}, " in read[1]
    assert read[1].endswith(f" on {tower}.")
    assert [each for each in read if each.startswith(f"{line}, test split, 11 videos")]
    assert read[-4:] == [f"the tower, {tower}", line, f"the data, {line}", line]
    (code,) = [each.content for each in page if each.type == "fence"]
    assert f"load({json.dumps(name)})" in code
    assert not {each.type for each in page} & {"html_block", "bullet_list_open", "hr"}


def test_the_card_tells_the_clips_of_a_training_at_a_fixed_rate(checkpoint, tmp_path):
    content = torch.load(checkpoint, weights_only=True)
    content["config"]["data"]["frame_rate"] = 7.5
    torch.save(content, tmp_path / "rate.ckpt")
    folder = tmp_path / "folder"
    assert main(["share", f"--ckpt_path={tmp_path / 'rate.ckpt'}", f"--folder={folder}"]) == 0
    assert "4 frames, 7.5 per second, scaled to 36" in (folder / "README.md").read_text()


@pytest.mark.parametrize(("written_as", "name"), [("auto", "unnamed data set"), ("ssv2", "ssv2")])
def test_a_data_set_without_a_name_is_not_called_auto(
    checkpoint, metrics, tmp_path, written_as, name
):
    content = torch.load(checkpoint, weights_only=True)
    content["config"]["data"]["format"] = written_as
    torch.save(content, tmp_path / "other.ckpt")
    folder, given = tmp_path / "shared", [f"--ckpt_path={tmp_path / 'other.ckpt'}"]
    assert main(["share", *given, f"--metrics={metrics}", f"--folder={folder}"]) == 0
    assert f"{name}, test split, 11 videos" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("tested", "options", "reason"),
    [
        ("last.ckpt", [], None),
        ("best.ckpt", [], "had another checkpoint"),
        ("last.ckpt", ["--data.num_clips=2"], "had another data.num_clips"),
        ("last.ckpt", ["--data.test=labels/validation.json"], "had another data.test"),
        ("last.ckpt", ["--trainer.limit_test_batches=1"], "had another trainer.limit_test_batches"),
    ],
)
def test_only_results_of_this_checkpoint_are_taken_from_its_run(
    trained, tmp_path, caplog, tested, options, reason
):
    run, folder = tmp_path / "run", tmp_path / "shared"
    shutil.copytree(trained, run)
    last = run / "checkpoints" / "last.ckpt"
    content = torch.load(last, weights_only=True)
    torch.save(content | {"trained": "further"}, last)
    given = [f"--ckpt_path={run / 'checkpoints' / tested}", f"--trainer.default_root_dir={run}"]
    assert main(["test", *given, *options]) == 0
    assert main(["share", f"--ckpt_path={last}", f"--folder={folder}"]) == 0
    assert ("Not tested yet." in (folder / "README.md").read_text()) == (reason is not None)
    if reason is None:
        return
    assert f"no test results: the test in {run / 'test' / 'metrics.json'} {reason}" in caplog.text
    metrics = run / "test" / "metrics.json"
    assert main(["share", f"--ckpt_path={last}", f"--metrics={metrics}", f"--folder={folder}"]) == 0
    assert "Not tested yet." not in (folder / "README.md").read_text()
    assert f"reports the results given, but the test in {metrics} {reason}" in caplog.messages[-1]


def test_no_path_of_this_machine_is_published(shared, trained, motion_set, metrics):
    for name in FILES - {"weights.safetensors"}:
        text = (shared / name).read_text()
        for path in (shared, trained, motion_set, metrics.parent, Path.home(), Path.cwd()):
            assert str(path) not in text, name
    assert b"/tmp" not in (shared / "weights.safetensors").read_bytes()[:5000]


def test_a_shared_folder_predicts_like_its_checkpoint(shared, checkpoint, video):
    ours, theirs = (pks4_lightning.load(each, device="cpu") for each in (checkpoint, shared))
    assert theirs.predict(video) == ours.predict(video)


def test_transformers_reads_it_without_code_from_the_folder(shared, video, tmp_path):
    known = pks4_lightning.PKS4ForVideoClassification
    model = AutoModelForVideoClassification.from_pretrained(shared)
    assert type(model) is known
    ours = pks4_lightning.load(shared, device="cpu")
    clips = ours.preprocess(video)
    with torch.no_grad():
        answer = model(pixel_values=clips.transpose(1, 2), labels=torch.tensor([3]))
    assert torch.equal(answer.logits, ours.logits(clips))
    expected = torch.nn.functional.cross_entropy(answer.logits, torch.tensor([3]))
    torch.testing.assert_close(answer.loss, expected)
    assert list(model.config.id2label.values()) == ours.label_names

    with torch.no_grad():
        model.classifier.head.bias += 1  # as if trained further
    model.save_pretrained(tmp_path / "saved")
    again = AutoModelForVideoClassification.from_pretrained(tmp_path / "saved").eval()
    with torch.no_grad():
        later = again(pixel_values=clips.transpose(1, 2)).logits
    torch.testing.assert_close(later, answer.logits + 1)


@pytest.mark.parametrize("way", ["save_pretrained", "push_to_hub"])
def test_the_weights_saved_last_are_loaded(shared, tmp_path, way):
    folder = tmp_path / "tiny"
    shutil.copytree(shared, folder)
    model = AutoModelForVideoClassification.from_pretrained(folder)
    with torch.no_grad():
        model.classifier.head.bias += 1  # as if trained further
    model.save_pretrained(folder)
    if way == "push_to_hub":  # which deletes nothing
        for name in ("weights.safetensors", "classifier.json"):
            shutil.copy(shared / name, folder)
    else:
        assert {path.name for path in folder.iterdir()} == {
            "config.json", "model.safetensors", "README.md", RECORD
        }  # fmt: skip
    again = AutoModelForVideoClassification.from_pretrained(folder)
    assert torch.equal(again.classifier.head.bias, model.classifier.head.bias)


def test_a_shared_folder_takes_the_arguments_of_transformers(shared):
    load = pks4_lightning.PKS4ForVideoClassification.from_pretrained
    for auto in (load, AutoModelForVideoClassification.from_pretrained):
        renamed = {number: f"class {number}" for number in range(8)}
        model, found = auto(
            shared, dtype=torch.bfloat16, output_loading_info=True, id2label=renamed
        )
        assert {each.dtype for each in model.parameters()} == {torch.bfloat16}
        assert not found["missing_keys"]
        assert not found["unexpected_keys"]
        assert model.config.id2label == renamed
        assert model.config.name_or_path == str(shared)
    with pytest.raises(ValueError, match="has one set of weights: leave out subfolder, variant"):
        load(shared, variant="fp16", subfolder="later")


def test_no_pickle_is_read(shared, video, tmp_path):
    mark = tmp_path / "mark"
    pickle.loads(pickle.dumps(Mark(mark)))
    mark.unlink()  # loading the pickle in the test created it
    folder = tmp_path / "with pickles"
    shutil.copytree(shared, folder)
    for name in ("pytorch_model.bin", "best.ckpt", "weights.pkl"):
        (folder / name).write_bytes(pickle.dumps(Mark(mark)))
    pks4_lightning.load(folder, device="cpu").predict(video)
    _ = pks4_lightning.PKS4ForVideoClassification
    AutoModelForVideoClassification.from_pretrained(folder)
    for name in ("weights.safetensors", "classifier.json"):
        (folder / name).unlink()
    with pytest.raises((OSError, ValueError)):
        AutoModelForVideoClassification.from_pretrained(folder)
    assert not mark.exists()


@pytest.fixture
def hub(shared, tmp_path, monkeypatch):
    """A hub cache with one repository in two revisions, without a network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repo = tmp_path / "cache" / "models--me--tiny"
    (repo / "refs").mkdir(parents=True)
    for branch, commit in (("main", "1" * 40), ("old", "2" * 40)):
        (repo / "refs" / branch).write_text(commit)
        shutil.copytree(shared, repo / "snapshots" / commit)
    (repo / "snapshots" / ("2" * 40) / "classifier.json").unlink()
    return repo


def test_a_hub_id_is_enough(hub, shared, video, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = pks4_lightning.load(shared, device="cpu").predict(video)
    for revision in (None, "main", "1" * 40):
        model = pks4_lightning.load("me/tiny", revision=revision, device="cpu")
        assert model.predict(video) == expected
    model = pks4_lightning.PKS4ForVideoClassification.from_pretrained("me/tiny")
    assert isinstance(model, torch.nn.Module)
    with pytest.raises(FileNotFoundError, match=r"revision old .* is not a classifier of"):
        pks4_lightning.load("me/tiny", revision="old")
    with pytest.raises(FileNotFoundError, match="with that id at revision new is available"):
        pks4_lightning.load("me/tiny", revision="new")
    with pytest.raises(FileNotFoundError, match=r"There is no file or folder me/other, .*OFFLINE"):
        pks4_lightning.load("me/other")
    with pytest.raises(ValueError, match="is not a hub id, so it has no revision main"):
        pks4_lightning.load(shared, revision="main")


def test_a_repository_of_transformers_is_loaded_by_its_id(hub, shared, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    load = pks4_lightning.PKS4ForVideoClassification.from_pretrained
    model = load("me/tiny")
    with torch.no_grad():
        model.classifier.head.bias += 1  # as if trained further
    model.save_pretrained(hub / "snapshots" / ("2" * 40))
    again = load("me/tiny", revision="old", local_files_only=True)
    assert torch.equal(again.classifier.head.bias, model.classifier.head.bias)
    assert again.config.name_or_path == "me/tiny"
    (hub / "snapshots" / ("2" * 40) / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"revision old .* is not a classifier of"):
        load("me/tiny", revision="old")


def test_a_changed_file_is_refused(shared, tmp_path):
    folder = tmp_path / "changed"
    shutil.copytree(shared, folder)
    content = bytearray((folder / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(content)
    for load in (pks4_lightning.load, pks4_lightning.PKS4ForVideoClassification.from_pretrained):
        with pytest.raises(ValueError, match="is not the file that"):
            load(folder)


def test_bad_arguments_are_one_sentence(checkpoint, tmp_path, capsys, monkeypatch):
    given = ["share", f"--ckpt_path={checkpoint}"]
    out = f"--folder={tmp_path / 'out'}"
    assert "one of the arguments --folder --repo is required" in error_of(given, capsys)
    assert "a/b/c is not a hub id" in error_of([*given, "--repo=a/b/c"], capsys)
    said = error_of([*given, out, f"--metrics={tmp_path / 'none.json'}"], capsys)
    assert "`pks4 test` writes it" in said
    (tmp_path / "other.json").write_text('{"top1": 1}')
    said = error_of([*given, out, f"--metrics={tmp_path / 'other.json'}"], capsys)
    assert "other.json is not a report of `pks4 test`: KeyError('split')." in said
    assert "other.json would be lost" in error_of([*given, f"--folder={tmp_path}"], capsys)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    said = error_of([*given, "--repo=me/tiny"], capsys)
    assert "me/tiny cannot be published (HF_HUB_OFFLINE is set)" in said
    assert not (tmp_path / "out").exists()
