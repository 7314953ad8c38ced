"""Every reading of the module compared with its equations, and properties of all readings."""

import math

import pytest
import torch
import torch.nn.functional as F

from pks4_lightning.cost.meta import meta_classifier
from pks4_lightning.cost.parameters import count_parameters
from pks4_lightning.insertion import ClipLayout
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.kinematic_prior import CorrelationOperator, VariationOperator
from pks4_lightning.models.pks4 import PKS4Module
from pks4_lightning.models.scan_controls import TemporalAttention
from tests.helpers.pks4_equations import (
    conv_norm_relu,
    correlations,
    frame_by_frame,
    part_of,
    pks4_by_equations,
    variations,
)

D, GRID = 6, (2, 3)
SIZES = {"d_prior": 4, "window_size": 3, "d_state": 3, "context_frames": 2}
BARE = {"use_correlation": False, "use_variation": False}

# settings of the module, and the corresponding arguments of the equations
READINGS = {
    **{
        f"{scanner}, {residual}": ({"scanner": scanner, "residual": residual}, {})
        for scanner in ("mamba", "none", "gru", "attention")
        for residual in ("single", "post_prior", "literal")
        if (scanner, residual) != ("none", "single")
    },
    "variation alone": ({"use_correlation": False}, {}),
    "correlation alone": ({"use_variation": False}, {}),
    "no prior": (BARE, {}),
    "two GRUs": ({"scanner": "gru", "bidirectional": True}, {}),
    "two scans": ({"bidirectional": True}, {}),
    "causal": ({"causal": True}, {"offsets": (-2, -1, 0)}),
    "no context, itself": ({"context_frames": 0}, {"offsets": (0,)}),
    "no context, previous": (
        {"context_frames": 0, "zero_context": "previous"},
        {"offsets": (-1,)},
    ),
    "negative ends": ({"variation_ends": "negative"}, {"ends": "negative"}),
    "negative ends, causal": (
        {"variation_ends": "negative", "causal": True},
        {"ends": "negative", "offsets": (-2, -1, 0)},
    ),
    "negative ends, previous": (
        {"variation_ends": "negative", "context_frames": 0, "zero_context": "previous"},
        {"ends": "negative", "offsets": (-1,)},
    ),
    "fp32": ({"prior_precision": "fp32"}, {}),
}


@pytest.mark.parity
@pytest.mark.parametrize("reading", READINGS)
def test_equals_the_equations_forward_and_in_every_gradient(randomise, draw, reading):
    settings, in_equations = READINGS[reading]
    module = randomise(PKS4Module(D, **{**SIZES, **settings})).double()
    patches = draw(2, 4, D, *GRID, dtype=torch.float64).requires_grad_()
    class_tokens = draw(2, 4, 1, D, seed=1, dtype=torch.float64)
    cotangent = draw(2, 4, D, *GRID, seed=2, dtype=torch.float64)

    tokens = torch.cat([class_tokens, patches.permute(0, 1, 3, 4, 2).flatten(2, 3)], dim=2)
    y = module(tokens.flatten(0, 1), ClipLayout(num_frames=4, grid_size=GRID))
    assert torch.equal(y[:, 0], class_tokens.flatten(0, 1)[:, 0])
    ours = y[:, 1:].unflatten(0, (2, 4)).unflatten(2, GRID).permute(0, 1, 4, 2, 3)
    leaves = {"patches": patches, **dict(module.named_parameters())}
    our_gradients = torch.autograd.grad(ours, list(leaves.values()), cotangent)

    residual = settings.get("residual", "post_prior")
    by_equations = pks4_by_equations(
        dict(module.named_parameters()), patches, residual=residual, **in_equations
    )
    gradients = torch.autograd.grad(by_equations, list(leaves.values()), cotangent)
    torch.testing.assert_close(ours, by_equations, rtol=0, atol=1e-11)
    for name, our_gradient, gradient in zip(leaves, our_gradients, gradients, strict=True):
        torch.testing.assert_close(
            our_gradient, gradient, rtol=1e-9, atol=1e-9, msg=lambda text, name=name: name + text
        )


@pytest.mark.parametrize("scanner", ["mamba", "gru", "attention", "none"])
def test_a_module_with_a_zero_start_is_the_identity_and_every_prior_learns_at_once(
    make_classifier, draw, scanner
):
    """With ``single``, the priors' first gradient is zero; here it reaches their last layer."""
    settings = {"scanner": scanner, "prior_init": "zero"}
    classifier = make_classifier(fresh=True, class_route="none", **settings).train()
    video = draw(2, 3, 4, 32, 32)
    plain = make_classifier(fresh=True, class_route="none", use_scanner=False, **BARE)
    plain.load_state_dict({k: v for k, v in classifier.state_dict().items() if "pks4" not in k})
    assert torch.equal(classifier(video), plain(video))
    F.cross_entropy(classifier(video), torch.tensor([0, 3])).backward()
    for operator in (
        classifier.pks4.prior_encoder.correlation,
        classifier.pks4.prior_encoder.variation,
    ):
        assert operator.aggregate.join[1].weight.grad.any()


@pytest.mark.parametrize(("prior_init", "scale"), [("small", 0.1), ("zero", 0.0)])
def test_another_start_scales_the_priors_last_projections_alone(prior_init, scale):
    starts = []
    for init in ("default", prior_init):
        torch.manual_seed(0)
        starts.append(PKS4Module(D, prior_init=init).state_dict())
    for name, default in starts[0].items():
        is_last = ".aggregate.join.1." in name
        expected = scale * default if is_last else default
        torch.testing.assert_close(starts[1][name], expected, rtol=1e-6, atol=0)
    assert sum(".aggregate.join.1." in name for name in starts[0]) == 4


def test_step_sizes_start_log_uniformly_between_their_bounds():
    module = PKS4Module(64, dt_min=0.05, dt_max=1.0, bidirectional=True)
    for scanner in (module.scanner, module.backward_scanner):
        step = F.softplus(scanner.dt_proj.bias.double())
        assert 0.05 * 0.999 <= step.min() < 0.07
        assert 0.75 < step.max() <= 1.001
        assert 0.3 < (step < math.sqrt(0.05)).double().mean() < 0.7


def test_one_step_size_for_all_channels_is_possible():
    step = F.softplus(PKS4Module(D, dt_min=0.3, dt_max=0.3).scanner.dt_proj.bias)
    torch.testing.assert_close(step, torch.full_like(step, 0.3))


@pytest.mark.parametrize(
    ("backbone", "insert_after"),
    [("openai/clip-vit-base-patch16", 8), ("openai/clip-vit-large-patch14", 16)],
)
@pytest.mark.parametrize("scanner", ["gru", "attention"])
def test_controls_are_as_large_as_the_scanner(scanner, backbone, insert_after):
    shared = {"num_classes": 174, "backbone": backbone, "insert_after": insert_after}
    with_scanner, with_control = (
        sum(count_parameters(meta_classifier(PKS4Config(**shared, scanner=kind))).values())
        for kind in ("mamba", scanner)
    )
    size = count_parameters(meta_classifier(PKS4Config(**shared)))["KS4 scanner"]
    assert abs(with_control - with_scanner) < 0.01 * size


@pytest.mark.parity
def test_attention_along_time_is_pytorchs_multi_head_attention(randomise, draw):
    width = 128  # the width of two heads
    ours = randomise(TemporalAttention(width, num_parameters=4 * width**2 + 2 * width)).double()
    theirs = torch.nn.MultiheadAttention(width, 2, bias=False, batch_first=True).double()
    theirs.in_proj_weight.data, theirs.out_proj.weight.data = (
        projection.weight.data for projection in (ours.qkv_proj, ours.out_proj)
    )
    x = draw(5, 3, width, dtype=torch.float64)
    angles = torch.arange(3.0).double()[:, None] / 10_000 ** (torch.arange(64).double() / 64)
    seen = ours.norm(x) + torch.cat([angles.sin(), angles.cos()], dim=1)
    expected, _ = theirs(seen, seen, seen)
    torch.testing.assert_close(ours(x.unsqueeze(2)).squeeze(2), expected, rtol=0, atol=1e-12)


def test_attention_along_time_knows_the_order_of_frames(randomise, draw):
    attention = randomise(TemporalAttention(D, num_parameters=500)).double()
    x = draw(1, 4, 2, D, dtype=torch.float64)
    assert not torch.allclose(attention(x.flip(1)), attention(x).flip(1))


@pytest.mark.parametrize(
    "settings",
    [
        {"scanner": "gru"},
        {"scanner": "attention"},
        {"scanner": "none"},
        {"residual": "single"},
        {"class_route": "tsm", "tsm_shifts": "block"},
        {"prior_precision": "fp32", "variation_ends": "negative"},
    ],
    ids=str,
)
def test_every_parameter_learns_with_checkpointing_as_without(make_classifier, draw, settings):
    video = draw(2, 3, 3, 32, 32)
    gradients = []
    for checkpointing in (False, True):
        classifier = make_classifier(gradient_checkpointing=checkpointing, **settings).train()
        F.cross_entropy(classifier(video), torch.tensor([0, 3])).backward()
        gradients.append({n: p.grad for n, p in classifier.pks4.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient.any(), name
        torch.testing.assert_close(gradients[1][name], gradient)


@pytest.mark.parametrize("scanner", ["gru", "attention"])
@pytest.mark.parametrize("precision", ["autocast", "half"])
def test_controls_stay_near_float32_in_bfloat16(randomise, draw, scanner, precision):
    module = randomise(PKS4Module(D, **SIZES, scanner=scanner)).scanner
    x = draw(2, 6, 3, D)
    exact = module(x)
    if precision == "half":
        y = module.bfloat16()(x.bfloat16())
    else:
        with torch.autocast("cpu", torch.bfloat16):
            y = module(x)
    assert (y.float() - exact).norm() < 0.03 * exact.norm()


@pytest.mark.parametrize("operator", [CorrelationOperator, VariationOperator])
def test_under_autocast_comparisons_are_those_of_float32_only_where_it_is_asked_for(
    randomise, draw, operator
):
    still, change = draw(1, 1, D, *GRID), draw(2, 4, D, *GRID, seed=1)
    x = still + 0.01 * change
    weights, seen = {}, {}
    for precision in ("autocast", "fp32"):
        module = randomise(operator(D, d_prior=4, offsets=(-1, 0, 1), precision=precision))
        weights = dict(module.named_parameters())
        first = module.displacement if operator is CorrelationOperator else module.aggregate
        first.register_forward_pre_hook(
            lambda _, args, precision=precision: seen.update({precision: args[0]})
        )
        with torch.autocast("cpu", torch.bfloat16):
            module(x)
    reduced = frame_by_frame(conv_norm_relu, x, part_of(weights, "reduce."))
    if operator is CorrelationOperator:
        expected = correlations(reduced, (-1, 0, 1), module.window_size).flatten(0, 2)
    else:
        expected = variations(reduced, (-1, 0, 1), "zero")
    torch.testing.assert_close(seen["fp32"], expected, rtol=0, atol=1e-5)
    assert (seen["autocast"] - expected).abs().max() > 1e-3


def test_float32_comparisons_in_a_classifier_of_half_precision(make_classifier, draw):
    """With bfloat16 weights, computation is in float32 only after the reduction."""
    video = draw(2, 3, 3, 32, 32)
    classifier = make_classifier(prior_precision="fp32").eval()
    exact = classifier(video)
    low = classifier.bfloat16()(video.bfloat16())
    assert (low.float() - exact).norm() < 0.1 * exact.norm()
