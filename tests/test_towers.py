"""Image towers other than CLIP through the command line, from folders in Hugging Face's layout."""

import csv
import json

import pytest
import torch
import transformers

from pks4_lightning.__main__ import main
from pks4_lightning.cli.settings import resolve
from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.pretrained import load_classifier
from pks4_lightning.models.resolve import without_weights
from tests.helpers.towers import CASES

TOWERS = {
    "siglip": ("pooled_t1d", [0.5, 0.5, 0.5]),
    "dinov2 registers": ("token_t1d", [0.485, 0.456, 0.406]),
}
"""Route and mean by tower."""


@pytest.fixture(scope="module", params=TOWERS, ids=lambda name: name.replace(" ", "_"))
def tower(request, tmp_path_factory):
    """A folder as written by `pks4 tower fetch`, with the expected route and mean."""
    folder = tmp_path_factory.mktemp("tower")
    case = CASES[request.param]
    fields = {name: value for name, value in case.fields.items() if name != "model_type"}
    config_class = {"siglip": "SiglipVisionConfig"}.get(request.param, "Dinov2WithRegistersConfig")
    config = getattr(transformers, config_class)(**fields)
    torch.manual_seed(0)
    getattr(transformers, case.model_class)(config).save_pretrained(folder)
    route, mean = TOWERS[request.param]
    size = {"height": 32, "width": 32}
    preprocessor = {"image_mean": mean, "image_std": [0.25, 0.25, 0.25], "size": size}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder, route, mean


@pytest.fixture(scope="module")
def run_folder(tower, tiny_args, tmp_path_factory):
    """A finished training on the tower, whose folder is removed afterwards."""
    folder, route, _ = tower
    run = tmp_path_factory.mktemp("run")
    arguments = [
        "fit",
        *tiny_args,
        f"--model.classifier.backbone={folder}",
        "--model.classifier.backbone_config=null",
        "--model.classifier.pretrained=true",
        f"--model.classifier.class_route={route}",
        "--data.frame_size=null",
        "--data.resize=36",
        "--trainer.max_epochs=1",
        f"--trainer.default_root_dir={run}",
    ]
    assert main(arguments) == 0
    folder.rename(folder.with_name(f"{folder.name}-gone"))
    return run


def test_it_trains_tests_predicts_and_exports_with_the_towers_own_input(
    tower, run_folder, motion_set, tmp_path
):
    mean = tower[2]
    checkpoint = run_folder / "checkpoints" / "best.ckpt"
    saved = torch.load(checkpoint, weights_only=True)
    settings = saved["config"]["data"]
    assert (settings["frame_size"], settings["mean"]) == (32, mean)
    expected = {"mean": mean, "std": [0.25] * 3, "size": 32}
    assert saved["hyper_parameters"]["classifier"]["preprocessing"] == expected

    assert main(["test", f"--ckpt_path={checkpoint}"]) == 0
    video = next(motion_set.rglob("*.webm"), None) or next(motion_set.rglob("*.mp4"))
    out = tmp_path / "predicted"
    predict = ["predict", f"--ckpt_path={checkpoint}", f"--data.predict={video}"]
    assert main([*predict, f"--trainer.default_root_dir={out}"]) == 0
    (table,) = out.rglob("*.csv")
    with table.open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 1

    exported = tmp_path / "exported"
    assert main(["export-weights", f"--ckpt_path={checkpoint}", "--out", str(exported)]) == 0
    classifier, clip = load_classifier(exported)
    assert (clip.mean, clip.std, clip.frame_size) == (mean, [0.25] * 3, 32)
    frames = torch.zeros(1, 3, clip.num_frames, clip.frame_size, clip.frame_size)
    assert classifier(frames).shape == (1, len(clip.label_names))


def test_another_normalisation_than_its_training_is_refused(run_folder, capsys):
    checkpoint = run_folder / "checkpoints" / "best.ckpt"
    arguments = ["test", f"--ckpt_path={checkpoint}", "--data.mean=[0.1,0.2,0.3]"]
    assert main(arguments) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("pks4: error: data.mean is (0.1, 0.2, 0.3), but the model's backbone")


@pytest.mark.parametrize("recipe", ["ssv2", "my_videos"])
@pytest.mark.parametrize("name", ["siglip2_b16", "dinov2_b14_reg"])
def test_the_shipped_towers_stack_on_recipes(recipe, name):
    settings = resolve([f"--config={recipe}", f"--config=towers/{name}"])
    assert settings["data"]["frame_size"] == 224
    assert settings["data"]["mean"][0] == {"siglip2_b16": 0.5, "dinov2_b14_reg": 0.485}[name]
    config = without_weights(PKS4Config(**settings["model"]["classifier"]))
    with torch.device("meta"):
        classifier = build_classifier(config)
        logits = classifier(torch.empty(1, 3, settings["data"]["num_frames"], 224, 224))
    assert logits.shape == (1, config.num_classes)
