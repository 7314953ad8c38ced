"""Operation counts compared with closed forms derived from the layers' definitions."""

import pytest

from pks4_lightning.cost.flops import count_flops, total_flops
from pks4_lightning.cost.meta import meta_classifier
from pks4_lightning.cost.parameters import count_parameters
from pks4_lightning.models.config import PKS4Config

T, P, GRID = 6, 16, 4
D, MLP, LAYERS, PROJECTION, CLASSES = 16, 32, 3, 8, 5
L, E, N, R, H, OFFSETS, WINDOW, TAPS = P + 1, 2 * D, 4, 1, 8, 5, 3, 4


def counts(config, num_frames=T, frame_size=32):
    return count_flops(meta_classifier(config), num_frames=num_frames, frame_size=frame_size)


def scanner_matmuls():
    projections = D * 2 * E + E * (R + 2 * N) + R * E + E * D
    convolved_frames = sum(
        T - lag for lag in range(TAPS)
    )  # the state before the first frame is zero, so it needs no product
    return P * (T * projections + convolved_frames * E)


def test_the_tower_is_its_linear_layers_its_patches_and_its_norms(tiny):
    tower = counts(tiny())["vision tower"]
    blocks = LAYERS * L * (4 * D * D + 2 * D * MLP)
    assert tower.matmuls == T * (blocks + P * 3 * 8 * 8 * D + D * PROJECTION)
    assert tower.attention == T * LAYERS * 2 * L * L * D
    assert tower.norm == T * 5 * D * (L * (2 * LAYERS + 1) + 1)
    assert tower.scan == 0


def test_a_single_frame_of_a_single_patch_can_be_counted(tiny):
    """Batch normalisation would refuse to be trained with it."""
    classifier = meta_classifier(tiny())
    count_flops(classifier, num_frames=1, frame_size=8)
    assert classifier.training


def test_the_scanner_is_its_projections_its_taps_and_nine_per_state(tiny):
    scanner = counts(tiny())["KS4 scanner"]
    assert scanner.matmuls == scanner_matmuls()
    assert scanner.scan == 9 * P * T * E * N
    assert scanner.norm == 5 * P * T * D


def test_the_backward_scanner_costs_the_same_again(tiny):
    parts = counts(tiny(bidirectional=True))
    assert parts["backward scanner"] == parts["KS4 scanner"]


def test_a_gru_is_its_two_projections_of_three_gates_and_the_one_back(tiny):
    control = meta_classifier(tiny(scanner="gru"))
    hidden = control.pks4.scanner.out_proj.in_features
    part = count_flops(control, num_frames=T, frame_size=32)["temporal GRU"]
    assert part.matmuls == P * T * (D * 3 * hidden + hidden * 3 * hidden + hidden * D)
    assert (part.norm, part.attention, part.scan) == (5 * P * T * D, 0, 0)


def test_attention_along_time_is_four_projections_and_two_products_of_all_frames(tiny):
    control = meta_classifier(tiny(scanner="attention"))
    hidden = control.pks4.scanner.out_proj.in_features
    part = count_flops(control, num_frames=T, frame_size=32)["temporal attention"]
    assert part.matmuls == P * T * 4 * D * hidden
    assert part.attention == P * 2 * T * T * hidden
    assert (part.norm, part.scan) == (5 * P * T * D, 0)


def test_priors_cost_the_same_with_and_without_the_scanner(tiny):
    parts = counts(tiny())
    alone = counts(tiny(scanner="none"))
    assert alone == {name: part for name, part in parts.items() if name != "KS4 scanner"}


@pytest.mark.parametrize(
    ("settings", "reading"),
    [
        ({}, {"residual": "single"}),
        ({}, {"prior_init": "zero"}),
        ({}, {"dt_min": 0.05, "dt_max": 1.0}),
        ({}, {"variation_ends": "negative"}),
        ({}, {"prior_precision": "fp32"}),
        ({"context_frames": 0}, {"zero_context": "previous"}),
        ({"class_route": "tsm"}, {"tsm_shifts": "block"}),
    ],
    ids=str,
)
def test_other_readings_have_as_many_parameters_and_operations(tiny, settings, reading):
    default, other = tiny(**settings), tiny(**settings, **reading)
    assert count_parameters(meta_classifier(other)) == count_parameters(meta_classifier(default))
    assert counts(other) == counts(default)


def operator_matmuls():
    reduce, refine, join, up = D * H * 9, OFFSETS * 2 * H * H * 9, OFFSETS * H * H * 9, H * D
    return P * T * (reduce + refine + join + up)


def test_the_variation_operator_is_its_convolutions(tiny):
    assert counts(tiny())["variation"].matmuls == operator_matmuls()


def test_the_correlation_adds_its_product_and_the_layers_on_the_scores(tiny):
    scores = P * T * OFFSETS * (WINDOW**2 * H + H * H) * 9
    # a row of patches is multiplied with a whole row of the window, border included
    product = T * GRID * WINDOW * GRID * OFFSETS * (GRID + WINDOW - 1) * H
    assert counts(tiny())["correlation"].matmuls == operator_matmuls() + scores + product


def test_the_head_is_one_product(tiny):
    assert counts(tiny())["head"].matmuls == PROJECTION * CLASSES


@pytest.mark.parametrize("route", ["none", "tsm", "token_shift"])
def test_a_shift_costs_nothing(tiny, route):
    parts = counts(tiny(class_route=route))
    assert total_flops(parts) == total_flops(counts(tiny()))


def test_the_baseline_has_no_temporal_parts(tiny):
    parts = counts(tiny(use_scanner=False, use_variation=False, use_correlation=False))
    assert set(parts) == {"vision tower", "class-token route", "head"}


@pytest.mark.parametrize("grid_size", [2, 6])
def test_patches_of_another_size_add_their_resize(tiny, grid_size):
    patch = 48 // grid_size
    parts = counts(tiny(grid_size=grid_size), frame_size=48)
    if patch == 8:
        assert "patch resize" not in parts
        return
    rows, columns = 48 * grid_size * 8 * patch, grid_size * 8 * grid_size * 8 * patch
    assert parts["patch resize"].matmuls == T * 3 * (rows + columns)
    assert parts["vision tower"] == counts(tiny(), frame_size=16)["vision tower"]


def test_conventions_differ_by_the_attentions_two_products(tiny):
    total = total_flops(counts(tiny()))
    assert total.all_matmuls - total.paper == total.attention > 0


def test_gradient_checkpointing_changes_no_count(tiny):
    assert counts(tiny(gradient_checkpointing=True)) == counts(tiny())


@pytest.mark.parametrize(
    ("backbone", "insert_after", "frame_size", "hidden_size"),
    [
        ("openai/clip-vit-base-patch32", 8, 224, 768),
        ("openai/clip-vit-base-patch16", 8, 224, 768),
        ("openai/clip-vit-large-patch14", 16, 224, 1024),
        ("openai/clip-vit-large-patch14-336", 16, 336, 1024),
    ],
)
def test_openais_towers_are_known_without_the_hub(backbone, insert_after, frame_size, hidden_size):
    config = PKS4Config(num_classes=174, backbone=backbone, insert_after=insert_after)
    classifier = meta_classifier(config)
    fields = classifier.backbone.config
    assert (fields.hidden_size, fields.image_size) == (hidden_size, frame_size)
    assert all(parameter.is_meta for parameter in classifier.parameters())


def test_parts_hold_all_parameters(tiny):
    classifier = meta_classifier(tiny(bidirectional=True))
    number = sum(parameter.numel() for parameter in classifier.parameters())
    assert sum(count_parameters(classifier).values()) == number
    classifier.backbone.requires_grad_(False)
    parts = count_parameters(classifier, trainable=True)
    assert parts["vision tower"] == 0
    assert parts["KS4 scanner"] > 0
