"""Reading a tower's files, and the errors for unusable ones."""

import json
import logging

import pytest
import torch
import transformers

from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.resolve import preprocessing_of, resolve_backbone_config
from pks4_lightning.models.towers.architecture import backbone_fields
from pks4_lightning.models.towers.weights import build_backbone
from tests.helpers.towers import CASES

MLP = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
TEXT = {**MLP, "vocab_size": 20, "max_position_embeddings": 6}
VISION = {**MLP, "image_size": 32, "patch_size": 8}
OPENAI_MEAN = [0.48145466, 0.4578275, 0.40821073]
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


def load(folder, **overrides):
    fields = backbone_fields(str(folder), overrides=overrides, from_scratch=False)
    return build_backbone(fields, weights=str(folder))


def describe(folder, **settings):
    return PKS4Config(num_classes=5, backbone=str(folder), class_route="none", **settings)


@pytest.fixture
def tower(tmp_path):
    """Write a tower's config.json and, if given, preprocessor file."""

    def write(case="siglip", preprocessor=None, name="preprocessor_config.json", **changes):
        fields = {**CASES[case].fields, **changes}
        (tmp_path / "config.json").write_text(json.dumps(fields))
        if preprocessor is not None:
            (tmp_path / name).write_text(json.dumps(preprocessor))
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("name", "vision"),
    [
        ("Siglip", lambda model: model.vision_model),
        ("MetaClip2", lambda model: model),
        ("Aimv2", lambda model: model.vision_model),
    ],
)
def test_the_tower_of_a_whole_model_is_taken_and_the_rest_left_behind(
    tmp_path, randomise, caplog, name, vision
):
    config_class = getattr(transformers, f"{name}Config")
    extra = {} if name == "Siglip" else {"projection_dim": 12}
    config = config_class(text_config=TEXT, vision_config=VISION, **extra)
    model = randomise(getattr(transformers, f"{name}Model")(config))
    model.save_pretrained(tmp_path)
    with caplog.at_level(logging.INFO, logger="pks4_lightning"):
        ours = load(tmp_path)
    theirs = vision(model).state_dict()
    for key, tensor in ours.state_dict().items():
        torch.testing.assert_close(tensor, theirs[key], rtol=0, atol=0)
    left = len(model.state_dict()) - len(ours.state_dict())
    assert f"ignored {left} that are not part of the tower" in caplog.text


@pytest.mark.parametrize("name", ["ViT", "Dinov2", "Dinov2WithRegisters"])
def test_the_tower_of_an_image_classifier_is_taken_without_its_head(tmp_path, randomise, name):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32}
    config = getattr(transformers, f"{name}Config")(**sizes, patch_size=8)
    model = randomise(getattr(transformers, f"{name}ForImageClassification")(config))
    model.save_pretrained(tmp_path)
    pixels = torch.randn(2, 3, 32, 32)
    expected = model.eval().base_model(pixels).last_hidden_state
    torch.testing.assert_close(load(tmp_path).eval()(pixels).last_hidden_state, expected)


def test_overrides_win_and_must_be_fields_of_the_family(tower):
    folder = str(tower("dinov3"))
    fields = backbone_fields(folder, overrides={"pos_embed_rescale": None}, from_scratch=False)
    assert fields["pos_embed_rescale"] is None
    assert fields["num_register_tokens"] == 3
    with pytest.raises(
        ValueError, match="has no field 'projection_dim'; the fields are hidden_size"
    ):
        backbone_fields(folder, overrides={"projection_dim": 8}, from_scratch=False)
    with pytest.raises(ValueError, match=r"says model_type 'vit', but .* of the type 'dinov3_vit'"):
        backbone_fields(folder, overrides={"model_type": "vit"}, from_scratch=False)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"model_type": "bert"}, r"'bert' model: the backbone must be an image .*: CLIP \(clip_v"),
        ({"model_type": "siglip_text_model"}, r"'siglip_text_model' model, which reads text: the"),
        ({"model_type": "siglip2"}, r"'siglip2' model, a SigLIP 2 of variable image size; only"),
        ({"model_type": "wav2vec2"}, r"'wav2vec2' model: .*DINOv3 \(dinov3_vit\), ViT \(vit\), AI"),
        ({}, r"a None model: the backbone must be an image transformer"),
        (
            {"model_type": "vit", "image_size": [32, 64]},
            r"image_size \[32, 64\]: only square images",
        ),
        ({"model_type": "vit", "hidden_size": "wide"}, r"does not describe a tower: .*hidden_size"),
        ({"model_type": "vit", "patch_size": 0}, r"backbone_config\.patch_size is 0; it must be"),
    ],
    ids=["unknown", "text", "naflex", "audio", "untyped", "oblong", "nonsense", "empty"],
)
def test_folders_without_a_tower_are_refused_in_one_sentence(tmp_path, config, sentence):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=sentence) as refusal:
        backbone_fields(str(tmp_path), overrides=None, from_scratch=False)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "sentence"), [("{", "cannot be read as JSON"), ("[]", "not a JSON object")]
)
def test_an_invalid_config_file_is_named(tmp_path, text, sentence):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=rf"config\.json .*{sentence}"):
        backbone_fields(str(tmp_path), overrides=None, from_scratch=False)


class TestPreprocessing:
    @pytest.mark.parametrize(
        ("file", "size"),
        [
            ({"size": {"height": 48, "width": 48}}, 48),
            ({"size": {"shortest_edge": 64}, "crop_size": {"height": 48, "width": 48}}, 48),
            ({"size": 48}, 48),
            ({"size": 64, "crop_size": 48}, 48),
            ({"size": {"shortest_edge": 64}, "crop_size": 48, "do_center_crop": False}, 64),
            ({"size": {"height": 54, "width": 54}}, 48),
            ({}, 32),
        ],
        ids=["square", "crop", "number", "numbers", "no crop", "parts of patches", "unsaid"],
    )
    def test_the_size_is_that_of_the_processed_image_in_whole_patches(self, tower, file, size):
        assert preprocessing_of(describe(tower(preprocessor={**IMAGENET, **file}))).size == size

    @pytest.mark.parametrize("name", ["preprocessor_config.json", "processor_config.json"])
    def test_mean_and_deviation_come_from_the_towers_file_and_stay_with_it(self, tower, name):
        file = {**IMAGENET, "size": {"height": 48, "width": 48}}
        file = file if name.startswith("pre") else {"image_processor": file}
        config = describe(tower(preprocessor=file, name=name))
        resolved = resolve_backbone_config(config)
        expected = {"mean": IMAGENET["image_mean"], "std": IMAGENET["image_std"], "size": 48}
        assert resolved.preprocessing == expected
        (tower() / name).unlink()
        assert resolve_backbone_config(resolved) == resolved

    @pytest.mark.parametrize(
        ("case", "mean"),
        [("clip", OPENAI_MEAN), ("siglip", [0.5] * 3), ("dinov2", IMAGENET["image_mean"])],
    )
    def test_without_a_file_the_familys_preprocessing_is_used(self, tower, case, mean):
        config = describe(tower(case))
        assert resolve_backbone_config(config).preprocessing is None
        assert list(preprocessing_of(config).mean) == mean
        assert preprocessing_of(config).size == 32

    def test_given_settings_override_the_file(self, tower):
        file = {**IMAGENET, "size": {"height": 48, "width": 48}}
        config = describe(tower(preprocessor=file), preprocessing={"size": 64})
        assert resolve_backbone_config(config).preprocessing == {
            "mean": IMAGENET["image_mean"],
            "std": IMAGENET["image_std"],
            "size": 64,
        }

    def test_pictures_that_are_not_normalised_keep_their_values(self, tower):
        found = preprocessing_of(describe(tower(preprocessor={**IMAGENET, "do_normalize": False})))
        assert (found.mean, found.std) == ((0, 0, 0), (1, 1, 1))

    @pytest.mark.parametrize(
        ("file", "words"),
        [
            ({"image_mean": [0.5]}, r"mean \[0\.5\] must be three numbers"),
            ({"image_std": [0.5, 0, 0.5]}, "must be positive"),
            ({"image_mean": "grey"}, "mean 'grey' must be three numbers"),
            ({"size": {"height": 32, "width": 64}}, "is not square"),
            ({"size": "large"}, "must be a number of pixels"),
        ],
        ids=["one mean", "no deviation", "word", "oblong", "size"],
    )
    def test_a_file_that_makes_no_sense_is_refused(self, tower, file, words):
        with pytest.raises(ValueError, match=rf"preprocessor file of .* is invalid: .*{words}"):
            preprocessing_of(describe(tower(preprocessor=file)))

    @pytest.mark.parametrize("given", [{"colour": 1}, {"std": [0.0] * 3}], ids=str)
    def test_settings_that_make_no_sense_are_refused(self, tower, given):
        with pytest.raises(ValueError, match=r"preprocessing \(.*\) is invalid"):
            preprocessing_of(describe(tower(), preprocessing=given))
