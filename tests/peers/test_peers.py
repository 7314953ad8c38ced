"""Properties of every method that adapts an image tower."""

import copy
import gc
import weakref

import pytest
import torch

from pks4_lightning.cost.flops import count_flops, total_flops
from pks4_lightning.cost.memory import saved_for_backward
from pks4_lightning.cost.meta import meta_classifier
from pks4_lightning.cost.parameters import count_parameters
from pks4_lightning.cost.training_step import Precision
from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.resolve import resolve_backbone_config
from pks4_lightning.models.towers.weights import build_backbone
from tests.helpers.towers import TINY_TOWER
from tests.peers.conftest import SMALL, VIT

B = "openai/clip-vit-base-patch16"
L = "openai/clip-vit-large-patch14"
PEERS = ("st_adapter", "aim", "evl", "side4video")
BESIDE = ("evl", "side4video")
TWICE = {"per_block": 2}


@pytest.fixture
def video(draw):
    return draw(2, 3, 3, 32, 32)


def fields_of(classifier):
    config = classifier.backbone.config
    return {name: getattr(config, name) for name in TINY_TOWER}


@pytest.mark.parametrize(
    ("settings", "trained", "total"),
    [
        ({"temporal": "st_adapter"}, 7_243_950, 93_043_374),
        ({"temporal": "st_adapter", "temporal_config": TWICE}, 14_354_094, 100_153_518),
        ({"temporal": "st_adapter", "backbone": L}, 19_123_374, 322_303_150),
        (
            {"temporal": "st_adapter", "backbone": L, "temporal_config": TWICE},
            38_068_398,
            341_248_174,
        ),
        ({"temporal": "aim"}, 14_343_342, 100_141_230),
        ({"temporal": "aim", "temporal_config": {"temporal_adapters": 1}}, 10_792_878, 96_590_766),
        ({"temporal": "aim", "backbone": L}, 50_643_118, 353_820_846),
        (
            {"temporal": "aim", "backbone": L, "temporal_config": {"temporal_adapters": 1}},
            38_029_486,
            341_207_214,
        ),
        ({"temporal": "evl", "temporal_config": {"num_layers": 4}}, 33_009_582, 118_809_006),
        ({"temporal": "evl"}, 98_756_526, 184_555_950),
        (
            {"temporal": "evl", "temporal_config": {"cross_frame_attention": False}},
            85_319_598,
            171_119_022,
        ),
        (
            {"temporal": "evl", "backbone": L, "temporal_config": {"num_layers": 24}},
            350_069_934,
            653_249_710,
        ),
        ({"temporal": "side4video"}, 4_327_470, 90_126_894),
        ({"temporal": "side4video", "temporal_config": {"d_side": 320}}, 21_112_686, 106_912_110),
        (
            {"temporal": "side4video", "backbone": L, "temporal_config": {"d_side": 320}},
            21_948_270,
            325_128_046,
        ),
        (
            {
                "temporal": "side4video",
                "backbone": L,
                "temporal_config": {"d_side": 512, "num_layers": 24},
            },
            102_108_846,
            405_288_622,
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_parameters_are_those_of_the_papers(settings, trained, total):
    classifier = meta_classifier(PKS4Config(num_classes=174, **{"backbone": B, **settings}))
    assert sum(count_parameters(classifier, trainable=True).values()) == trained
    assert sum(count_parameters(classifier).values()) == total
    assert sum(parameter.numel() for parameter in classifier.parameters()) == total


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"temporal": "st_adapter"}, 7_110_144),
        ({"temporal": "st_adapter", "temporal_config": TWICE}, 14_220_288),
        ({"temporal": "aim"}, 14_201_856),
        ({"temporal": "aim", "backbone": L}, 50_454_528),
    ],
)
def test_adapters_alone_are_those_of_the_papers(settings, expected):
    adapters = meta_classifier(
        PKS4Config(num_classes=174, **{"backbone": B, **settings})
    ).peer.blocks
    assert sum(parameter.numel() for parameter in adapters.parameters()) == expected


@pytest.mark.parametrize(
    ("settings", "num_frames", "expected"),
    [
        ({"temporal": "st_adapter"}, 8, 151.624),
        ({"temporal": "st_adapter", "temporal_config": TWICE}, 32, 1952.9 / 3),
        ({"temporal": "st_adapter", "backbone": L}, 8, 686.807),
        ({"temporal": "aim", "temporal_config": {"temporal_adapters": 1}}, 8, 606.3 / 3),
        ({"temporal": "evl"}, 8, 518.6 / 3),
        ({"temporal": "side4video"}, 8, 148.10),
        ({"temporal": "side4video", "temporal_config": {"d_side": 320}}, 8, 175.69),
        (
            {
                "temporal": "side4video",
                "backbone": L,
                "temporal_config": {"d_side": 512, "num_layers": 24},
            },
            8,
            869.3,
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_operations_are_those_of_the_closed_forms(settings, num_frames, expected):
    """The closed forms leave out layer norms, which account for at most 0.2 %."""
    classifier = meta_classifier(PKS4Config(num_classes=174, **{"backbone": B, **settings}))
    flops = total_flops(count_flops(classifier, num_frames=num_frames, frame_size=224))
    assert flops.all_matmuls / 1e9 == pytest.approx(expected, rel=0.003)


def test_evl_with_32_frames_and_without_tables_is_table_3s():
    settings = {"num_layers": 4, "cross_frame_attention": False, "num_frames": 32}
    config = PKS4Config(num_classes=400, temporal="evl", temporal_config=settings)
    assert sum(count_parameters(meta_classifier(config), trainable=True).values()) == 28_778_128


@pytest.mark.parametrize(
    ("temporal", "settings"),
    [
        ("st_adapter", {}),
        ("st_adapter", TWICE),
        ("aim", {}),
        ("aim", {"temporal_adapters": 1, "scale": 0.5}),
    ],
)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_new_adapters_leave_the_tower_as_it_is(make_peer, video, temporal, settings, checkpointing):
    classifier = make_peer(
        temporal, fresh=True, temporal_config=settings, gradient_checkpointing=checkpointing
    )
    classifier.peer.dropout.p = 0.0
    tower = build_backbone(fields_of(classifier), weights=None)
    tower.load_state_dict(classifier.backbone.state_dict(), strict=False)
    with torch.no_grad():
        class_tokens = tower(video.transpose(1, 2).flatten(0, 1)).last_hidden_state[:, 0]
        norm, frames = tower.vision_model.post_layernorm, class_tokens.unflatten(0, (2, 3))
        vectors = norm(frames).mean(1) if temporal == "aim" else norm(frames.mean(1))
        expected = classifier.head(vectors)
    torch.testing.assert_close(classifier(video).detach(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("tower", [TINY_TOWER, VIT], ids=["CLIP", "ViT"])
@pytest.mark.parametrize("temporal", PEERS)
def test_all_that_trains_and_nothing_else_gets_a_gradient(
    make_peer, video, temporal, checkpointing, tower
):
    classifier = make_peer(temporal, gradient_checkpointing=checkpointing, tower=tower)
    classifier(video).square().sum().backward()
    for name, parameter in classifier.named_parameters():
        is_norm = "post_layernorm" in name or name.startswith("backbone.layernorm.")
        trains = not name.startswith("backbone.") or (temporal == "aim" and is_norm)
        assert parameter.requires_grad == trains, name
        if trains:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            # patches are not used after the last attention
            reaches = "blocks.2.before_mlp" not in name
            # a key bias shifts all scores equally, so its gradient is only rounding error
            assert parameter.grad.any() == reaches or name.endswith("k_proj.bias"), name
        else:
            assert parameter.grad is None, name


@pytest.mark.parametrize("temporal", ["st_adapter", "aim"])
def test_checkpointing_changes_no_gradient(make_peer, video, temporal):
    gradients = []
    for checkpointing in (False, True):
        classifier = make_peer(temporal, gradient_checkpointing=checkpointing)
        classifier.peer.dropout.p = 0.0
        classifier(video).square().sum().backward()
        gradients.append([p.grad for p in classifier.parameters() if p.requires_grad])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain, rtol=0, atol=0)


@pytest.mark.parametrize("temporal", PEERS)
def test_the_order_of_frames_matters(make_peer, video, temporal):
    classifier = make_peer(temporal).eval()
    with torch.no_grad():
        forwards, backwards = classifier(video), classifier(video.flip(2))
    assert (forwards - backwards).abs().max() > 1e-3


@pytest.mark.parametrize("temporal", PEERS)
@pytest.mark.parametrize("num_frames", [1, 2, 5])
@pytest.mark.parametrize(("frame_size", "patch_size"), [(32, None), (48, 12), (16, None), (24, 4)])
def test_clips_of_any_length_and_size_are_taken(
    make_peer, draw, temporal, num_frames, frame_size, patch_size
):
    classifier = make_peer(temporal)
    logits = classifier(draw(2, 3, num_frames, frame_size, frame_size), patch_size)
    logits.sum().backward()
    assert logits.shape == (2, 5)
    assert all(p.grad.isfinite().all() for p in classifier.peer.parameters() if p.grad is not None)


@pytest.mark.parametrize("temporal", PEERS)
def test_clips_do_not_mix(make_peer, draw, temporal):
    classifier = make_peer(temporal).eval()
    video = draw(3, 3, 3, 32, 32)
    with torch.no_grad():
        together = classifier(video)
        alone = torch.cat([classifier(clip) for clip in video.split(1)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("temporal", PEERS)
def test_a_copy_has_hooks_of_its_own(make_peer, video, temporal):
    classifier = make_peer(temporal).eval()
    other = copy.deepcopy(classifier)
    with torch.no_grad():
        before = classifier(video)
        torch.testing.assert_close(other(video), before, rtol=0, atol=0)
        for parameter in other.parameters():
            parameter.mul_(1.5)
        assert (other(video) - before).abs().max() > 1e-3
        torch.testing.assert_close(classifier(video), before, rtol=0, atol=0)


@pytest.mark.parametrize("temporal", PEERS)
def test_under_autocast_logits_are_float32_and_near(make_peer, video, temporal):
    classifier = make_peer(temporal).eval()
    with torch.no_grad():
        exact = classifier(video)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = classifier(video)
    assert mixed.dtype == torch.float32
    assert (mixed - exact).norm() < 0.1 * exact.norm()


@pytest.mark.parametrize("temporal", PEERS)
def test_half_precision_takes_other_lengths_and_grids(make_peer, draw, temporal):
    classifier = make_peer(temporal).eval()
    video = draw(2, 3, 4, 16, 32)
    with torch.no_grad():
        exact = classifier(video)
        half = classifier.bfloat16()(video)  # pixels are float32
    assert half.dtype == torch.bfloat16
    assert (half - exact).norm() < 0.1 * exact.norm()


@pytest.mark.parametrize("temporal", PEERS)
def test_activations_kept_grow_with_the_tower_only_where_gradients_pass_it(temporal):
    kept = []
    for depth in (3, 9):
        config = PKS4Config(
            num_classes=5,
            pretrained=False,
            backbone_config={**TINY_TOWER, "num_hidden_layers": depth},
            temporal=temporal,
            temporal_config=SMALL[temporal],
        )
        saved = saved_for_backward(config, num_frames=3, frame_size=32, precision=Precision())
        kept.append(saved.per_clip)
    if temporal in BESIDE:
        assert kept[0] == kept[1]
    else:
        assert kept[1] > 2.5 * kept[0]


@pytest.mark.parametrize("temporal", PEERS)
def test_nothing_of_the_tower_is_held_once_clips_are_classified(make_peer, video, temporal):
    classifier = make_peer(temporal).eval()
    outputs = []
    for block in classifier.backbone.vision_model.encoder.layers:
        block.register_forward_hook(lambda _b, _a, output: outputs.append(weakref.ref(output)))
    with torch.no_grad():
        classifier(video)
    gc.collect()
    assert len(outputs) == TINY_TOWER["num_hidden_layers"]
    assert [output() for output in outputs] == [None] * len(outputs)


@pytest.mark.parametrize("temporal", PEERS)
def test_a_checkpoint_rebuilds_it_from_plain_values_alone(make_peer, video, temporal):
    classifier = make_peer(temporal).eval()
    assert {name.split(".")[0] for name in classifier.state_dict()} == {"backbone", "peer", "head"}
    assert not any("projection" in name for name in classifier.state_dict())
    given = PKS4Config(
        num_classes=5,
        pretrained=False,
        backbone_config=TINY_TOWER,
        temporal=temporal,
        temporal_config=SMALL[temporal],
    )
    resolved = resolve_backbone_config(given)
    assert resolved.temporal_config.items() >= SMALL[temporal].items()
    other = build_classifier(resolved, load_weights=False).eval()
    other.load_state_dict(classifier.state_dict())
    torch.testing.assert_close(other(video), classifier(video), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"temporal": "st_adapter", "temporal_config": {"width": 3}},
            "no field 'width' for st_adapter; the fields are per_block, d_adapter, dropout",
        ),
        ({"temporal": "st_adapter", "temporal_config": {"per_block": 3}}, r"per_block \(3\)"),
        ({"temporal": "aim", "temporal_config": {"temporal_adapters": 0}}, "temporal_adapters"),
        ({"temporal": "aim", "temporal_config": {"num_frames": "x"}}, "No model can be built"),
        ({"temporal": "evl", "temporal_config": {"num_layers": 4}}, r"num_layers \(4\) .* 3, the"),
        ({"temporal": "side4video", "temporal_config": {"d_side": 100}}, r"d_side \(100\)"),
        ({"temporal_config": {"d_side": 100}}, "temporal is pks4: leave it out"),
        ({"temporal": "evl", "network": "videomamba_ti"}, "takes the place of temporal"),
        ({"temporal": "evl", "causal": True}, "only pks4 and tsm can be restricted"),
        (
            {
                "temporal": "aim",
                "backbone_config": {**TINY_TOWER, "model_type": "siglip_vision_model"},
            },
            "laid out as CLIP's",
        ),
        ({"network": "videomamba_ti", "backbone_config": {"depth": 3}}, "no field 'depth'"),
        (
            {"network": "videomamba_ti", "backbone_config": {"image_size": 30}},
            r"image_size \(30\)",
        ),
    ],
)
def test_unsupported_settings_are_refused_in_one_sentence(settings, sentence):
    tower = {name: TINY_TOWER[name] for name in TINY_TOWER if name != "projection_dim"}
    if settings.get("backbone_config", {}).get("model_type"):
        settings = {
            **settings,
            "backbone_config": {**tower, "model_type": settings["backbone_config"]["model_type"]},
        }
    with pytest.raises(ValueError, match=sentence):
        build_classifier(
            PKS4Config(
                **{
                    "num_classes": 5,
                    "pretrained": False,
                    "backbone_config": None if "network" in settings else TINY_TOWER,
                    **settings,
                }
            )
        )


def test_frame_averaging_and_tsm_are_the_classifiers_without_pks4(video):
    def build(**settings):
        torch.manual_seed(0)
        config = PKS4Config(num_classes=5, pretrained=False, backbone_config=TINY_TOWER, **settings)
        return build_classifier(config).eval()

    without = {"use_scanner": False, "use_variation": False, "use_correlation": False}
    for temporal, route in (("frame_average", "none"), ("tsm", "tsm")):
        short, long = build(temporal=temporal), build(class_route=route, **without)
        assert short.state_dict().keys() == long.state_dict().keys()
        torch.testing.assert_close(short(video), long(video), rtol=0, atol=0)
    average = build(temporal="frame_average")
    torch.testing.assert_close(average(video.flip(2)), average(video))
