import logging

import pytest
import torch
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    CLIPVisionModelWithProjection,
    MambaConfig,
)

from pks4_lightning.models.towers.architecture import backbone_fields
from pks4_lightning.models.towers.clip import CLIP
from pks4_lightning.models.towers.weights import build_backbone

TEXT = {
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 20,
    "max_position_embeddings": 6,
}


@pytest.fixture
def whole_clip(tmp_path, tiny_fields, randomise):
    """A folder with both towers, as on the hub, and the model from which it was written."""
    # the projection's width is only given at the top level of the config, as in some hub models
    vision = {**tiny_fields, "projection_dim": 77}
    config = CLIPConfig(text_config=TEXT, vision_config=vision, projection_dim=8)
    model = randomise(CLIPModel(config))
    model.save_pretrained(tmp_path / "clip")
    return str(tmp_path / "clip"), model


@pytest.fixture
def vision_tower(tmp_path, tiny_fields, randomise):
    model = randomise(CLIPVisionModelWithProjection(CLIPVisionConfig(**tiny_fields)))
    model.save_pretrained(tmp_path / "vision")
    return str(tmp_path / "vision"), model


def load(folder, **overrides):
    fields = backbone_fields(folder, overrides=overrides, from_scratch=False)
    return build_backbone(fields, weights=folder)


def test_loads_the_vision_half_of_a_whole_clip_model(whole_clip, draw, caplog):
    folder, model = whole_clip
    with caplog.at_level(logging.INFO, logger="pks4_lightning"):
        tower = load(folder)
    pixels = draw(2, 3, 32, 32)
    expected = model.get_image_features(pixels).pooler_output
    torch.testing.assert_close(tower(pixels).image_embeds, expected)
    num_tensors, num_text = (
        len(tower.state_dict()),
        len(model.state_dict()) - len(tower.state_dict()),
    )
    (record,) = caplog.messages
    assert f"Loaded {num_tensors} of {num_tensors} tensors (100 %)" in record
    assert f"ignored {num_text} that" in record


def test_loads_a_vision_tower_alone(vision_tower):
    folder, model = vision_tower
    tower = load(folder)
    torch.testing.assert_close(tower.state_dict(), model.state_dict(), rtol=0, atol=0)
    assert tower.training


def test_half_precision_weights_become_float32(vision_tower, tmp_path):
    _, model = vision_tower
    model.half().save_pretrained(tmp_path / "half")
    assert {p.dtype for p in load(str(tmp_path / "half")).parameters()} == {torch.float32}


def test_transformers_keeps_quiet(whole_clip, capfd):
    load(whole_clip[0])
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_missing_weights_are_refused_by_name(tmp_path, tiny_fields):
    CLIPVisionModel(CLIPVisionConfig(**tiny_fields)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"missing: visual_projection\.weight"):
        load(str(tmp_path))


def test_unexpected_weights_are_refused_by_name(vision_tower, tmp_path):
    _, model = vision_tower
    state = {**model.state_dict(), "vision_model.encoder.adapter.weight": torch.zeros(2)}
    model.save_pretrained(tmp_path / "more", state_dict=state)
    with pytest.raises(ValueError, match=r"unexpected: vision_model\.encoder\.adapter\.weight"):
        load(str(tmp_path / "more"))


def test_weights_of_another_shape_are_refused_by_name(vision_tower):
    with pytest.raises(ValueError, match=r"of another shape: visual_projection\.weight \(8, 16\)"):
        load(vision_tower[0], projection_dim=12)


def test_an_unknown_field_is_refused(vision_tower):
    with pytest.raises(
        ValueError, match="backbone_config has no field 'depth'; the fields are hidden_s"
    ):
        load(vision_tower[0], depth=12)


def test_a_model_that_is_not_clip_is_refused(tmp_path):
    MambaConfig(num_hidden_layers=1).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="contains a 'mamba' model: the backbone must be"):
        load(str(tmp_path))


@pytest.mark.parametrize(
    ("backbone", "sentence"),
    [
        (
            "openai/clip-vit-base-patch16",
            r"'openai/clip-vit-base-patch16' is not a local folder, is not in the Hugging Face "
            r"cache \(.*\) and cannot be downloaded \(.+\); run "
            r"`pks4 tower fetch openai/clip-vit-base-patch16 --out FOLDER` on a machine "
            r"with a network, and point --model.classifier.backbone to that folder\.$",
        ),
        ("/no/such/folder", r"'/no/such/folder' is neither a local folder nor a hub id; point"),
    ],
)
def test_a_missing_backbone_is_reported_at_once_with_a_remedy(
    monkeypatch, tmp_path, backbone, sentence
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match=sentence):
        load(backbone)


def test_an_empty_folder_is_reported_with_its_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"contains none of config\.json"):
        load(str(tmp_path))


def test_a_folder_without_weights_is_reported(tmp_path, tiny_fields):
    CLIPVisionConfig(**tiny_fields).save_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"contains none of model\.safetensors"):
        load(str(tmp_path))


def test_fields_from_scratch_do_not_look_the_backbone_up(tiny_fields):
    fields = backbone_fields("no/where", overrides=tiny_fields, from_scratch=True)
    assert {name: fields[name] for name in tiny_fields} == tiny_fields
    assert fields["hidden_act"] == "quick_gelu"


@pytest.mark.parametrize("checkpointing", [False, True])
def test_hooks_fire_once_at_the_right_block_with_the_right_shape(tiny_fields, draw, checkpointing):
    fields = backbone_fields("", overrides=tiny_fields, from_scratch=True)
    tower = build_backbone(fields, weights=None, gradient_checkpointing=checkpointing)
    fired = []
    points = CLIP.hook_points(tower)
    assert len(points) == 3
    for index, point in enumerate(points):
        point.block.register_forward_hook(
            lambda _, args, y, index=index: fired.append((index, tuple(args[0].shape), y.shape))
        )
    # the first block must receive the embeddings, independent of names in transformers
    embedded = []
    tower.vision_model.pre_layrnorm.register_forward_hook(lambda _, _args, y: embedded.append(y))
    points[0].block.register_forward_pre_hook(
        lambda _, args: embedded.append(torch.equal(args[0], embedded[0]))
    )
    tower(draw(2, 3, 32, 32)).image_embeds.sum().backward()
    assert fired == [(index, (2, 17, 16), (2, 17, 16)) for index in range(3)]
    assert embedded[1] is True


@pytest.mark.parity
def test_attention_is_that_of_transformers(tiny_fields, draw):
    fields = backbone_fields("", overrides=tiny_fields, from_scratch=True)
    tower = build_backbone(fields, weights=None).eval()
    images = draw(2, 3, 32, 32)
    ours = tower(images).image_embeds
    with torch.autocast("cpu", torch.bfloat16):
        rounded = tower(images).image_embeds
    tower.set_attn_implementation("sdpa")
    assert torch.equal(ours, tower(images).image_embeds)
    with torch.autocast("cpu", torch.bfloat16):
        assert not torch.equal(rounded, tower(images).image_embeds)  # our attention is in float32
    torch.testing.assert_close(rounded.float(), ours, rtol=0.1, atol=0.02)
