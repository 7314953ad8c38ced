"""Every family of towers compared with transformers: tokens, blocks, sizes, decay, counts."""

import dataclasses

import pytest
import torch
from transformers import SiglipVisionConfig

from pks4_lightning.insertion import ClipLayout
from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.class_route import ClassTokenRoute
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.resolve import preprocessing_of, resolve_backbone_config, without_weights
from pks4_lightning.models.towers.families import FAMILIES
from pks4_lightning.models.towers.published import PUBLISHED
from pks4_lightning.training.learning.parameter_groups import (
    layer_ids,
    no_weight_decay_names,
    parameter_groups,
)
from tests.helpers.towers import CASES, plain_vectors

BASELINE = {"use_scanner": False, "use_variation": False, "use_correlation": False}
T = 4


@pytest.fixture(params=CASES, ids=lambda name: name.replace(" ", "_"))
def case(request):
    return CASES[request.param]


@pytest.fixture
def make(make_classifier, case):
    """Build a classifier on the case's tower, with a suitable route."""

    def build(**settings):
        route = "token_t1d" if case.has_class_token else "tsm"
        return make_classifier(**{"backbone_config": case.fields, "class_route": route, **settings})

    return build


@pytest.fixture
def video(draw):
    return draw(2, 3, T, 32, 32)


def blocks_of(case, classifier):
    return classifier.backbone.get_submodule(case.blocks)


def test_the_cases_cover_all_families():
    assert {case.fields["model_type"] for case in CASES.values()} == {
        f.model_type for f in FAMILIES
    }


def test_a_module_that_starts_at_zero_changes_nothing_and_the_tower_is_transformers_own(
    make, case, video
):
    classifier = make(fresh=True, class_route="none", prior_init="zero").eval()
    passed = []
    handle = classifier.pks4.register_forward_hook(lambda _, args, y: passed.append((args[0], y)))
    with_module = classifier(video)
    ((tokens, same_tokens),) = passed
    assert torch.equal(tokens, same_tokens)
    handle.remove()
    classifier.pks4.remove()
    logits = classifier(video)
    # without the module, AIMv2's tokens have another layout, so its norms sum in another order
    atol = 1e-7 if "aimv2" in case.fields["model_type"] else 0
    torch.testing.assert_close(with_module, logits, rtol=0, atol=atol)
    pooled = plain_vectors(case, classifier, video).mean(1)
    torch.testing.assert_close(logits, classifier.head(pooled), rtol=0, atol=0)
    assert classifier.head.in_features == case.d_frame


def test_tokens_of_the_trunk_stand_for_pixels(make, case, video):
    """Also after a forward pass of pixels, which leaves another grid and other blocks' tokens."""
    route = "token_t1d" if case.has_class_token else "tsm"
    classifier = make(class_route=route, route_from=3).eval()
    tokens = classifier.trunk_tokens(video)
    # AIMv2's tokens have another memory layout, so its norms sum in another order
    atol = 1e-6 if "aimv2" in case.fields["model_type"] else 0
    for _ in range(2):
        torch.testing.assert_close(classifier(tokens), classifier(video), rtol=0, atol=atol)
    assert len(blocks_of(case, classifier)) == 3, "the tower is whole again"

    of_pixels, of_tokens = (
        torch.autograd.grad(classifier(clips).sum(), classifier.pks4.parameters())
        for clips in (video, tokens.detach())
    )
    for expected, gradient in zip(of_pixels, of_tokens, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parity
def test_hooks_equal_the_block_written_out_forward_and_backward(make, case, draw):
    classifier = make(**BASELINE)
    block = blocks_of(case, classifier)[0]
    (route,) = classifier.class_route[:1]
    layout = ClipLayout(num_frames=T, grid_size=(2, 2), num_prefix_tokens=case.num_prefix)
    route.layout = layout
    positions = {}
    if case.fields["model_type"] == "dinov3_vit":
        positions = {"position_embeddings": (draw(4, 8), draw(4, 8, seed=2))}

    def exchange(module, first, last):
        def apply(x):
            clips = x.unflatten(0, (-1, T))
            moved = module(clips[:, :, first:last].squeeze(2))
            moved = moved.unsqueeze(2) if moved.ndim == 3 else moved
            return torch.cat([clips[:, :, :first], moved, clips[:, :, last:]], 2).flatten(0, 1)

        return apply

    if isinstance(route, ClassTokenRoute):
        by_hand = {
            "enter": exchange(route.before_attention, 0, 1),
            "middle": exchange(route.before_mlp, 0, 1),
        }
    else:
        by_hand = {"normed": exchange(route, case.num_prefix, case.num_prefix + 4)}
    parameters = [*block.parameters(), *route.parameters()]
    results = []
    for run in (lambda x: block(x, attention_mask=None, **positions), None):
        tokens = draw(2 * T, case.num_prefix + 4, 16).requires_grad_()
        torch.manual_seed(0)  # for dropped paths and activations
        if run is None:
            route.remove()
            y = case.block(block, tokens, **by_hand, **positions)
        else:
            y = run(tokens)
        gradients = torch.autograd.grad(y, [tokens, *parameters], draw(*y.shape, seed=1))
        results.append([y, *gradients])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    untouched = case.block(block, tokens, **positions)
    assert not torch.allclose(results[1][0], untouched)


def test_class_token_and_registers_never_reach_the_prior_encoder(make, case, draw):
    classifier = make().eval()
    seen, passed = [], []
    classifier.pks4.prior_encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    classifier.pks4.register_forward_hook(lambda _, args, y: passed.append((args[0], y)))
    size = (32, 32) if case.any_size == "fixed" else (16, 40)
    classifier(draw(2, 3, T, *size))
    ((before, after),) = passed
    rows, columns = size[0] // 8, size[1] // 8
    assert before.shape[1] == case.num_prefix + rows * columns
    patches = before[:, case.num_prefix :].transpose(1, 2).unflatten(2, (rows, columns))
    assert torch.equal(seen[0].flatten(0, 1), patches)
    assert torch.equal(after[:, : case.num_prefix], before[:, : case.num_prefix])
    assert not torch.equal(after[:, case.num_prefix :], before[:, case.num_prefix :])


def test_every_parameter_that_is_used_learns(make, case, video):
    # dropping paths would drop gradients, too
    classifier = make(backbone_config={**case.fields, **_without_dropping(case)})
    classifier(video).square().sum().backward()
    frozen = {name for name, p in classifier.named_parameters() if not p.requires_grad}
    assert frozen == set(case.frozen)
    for name, parameter in classifier.named_parameters():
        if name in frozen:
            continue
        assert parameter.grad is not None, name
        # a constant added to all keys does not change attention
        if "k_proj.bias" not in name:
            assert parameter.grad.any(), name


def _without_dropping(case):
    return {name: 0.0 for name in ("drop_path_rate", "hidden_dropout_prob") if name in case.fields}


def test_every_parameter_is_in_one_group_of_its_depth_and_decay(make, case):
    classifier = make()
    named = list(classifier.named_parameters())
    groups = parameter_groups(
        named,
        layer_ids=layer_ids(classifier),
        no_decay=no_weight_decay_names(classifier),
        lr=1.0,
        layer_decay=0.5,
        weight_decay=0.1,
    )
    placed = {id(p): group for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(placed)
    assert placed.keys() == {id(p) for name, p in named if name not in case.frozen}
    inside = f"backbone.{case.blocks}."
    for name, parameter in named:
        if name in case.frozen:
            continue
        group = placed[id(parameter)]
        if name.startswith(inside):
            index = int(name.removeprefix(inside).split(".")[0])
            assert group["lr"] == 0.5 ** (3 - index), name
        elif "embeddings." in name or "pre_layrnorm" in name:
            assert group["lr"] == 0.5**4, name
        else:
            assert group["lr"] == 1.0, name
        # vectors, or one vector per position
        spared = parameter.ndim <= 1 or parameter.shape[0] == 1 or "position_embedding" in name
        assert (group["weight_decay"] == 0) == (spared or name.endswith("A_log")), name


def test_a_checkpoint_needs_no_folder(make, case, video, tmp_path):
    trained = make().eval()
    folder = tmp_path / "tower"
    trained.backbone.save_pretrained(folder)
    settings = {"num_classes": 5, "insert_after": 2, "window_size": 3, "d_prior": 4, "d_state": 4}
    route = "token_t1d" if case.has_class_token else "tsm"
    config = PKS4Config(backbone=str(folder), class_route=route, **settings)
    loaded = build_classifier(config)
    torch.testing.assert_close(
        loaded.backbone.state_dict(), trained.backbone.state_dict(), rtol=0, atol=0
    )
    resolved = resolve_backbone_config(config)
    folder.rename(tmp_path / "elsewhere")
    assert {name: resolved.backbone_config[name] for name in case.fields} == case.fields
    plain = (int, float, str, type(None))  # bool is an int
    assert all(isinstance(value, plain) for value in resolved.backbone_config.values())
    for again in (resolved, dataclasses.replace(resolved, pretrained=False)):
        rebuilt = build_classifier(again, load_weights=False).eval()
        rebuilt.load_state_dict(trained.state_dict())
        torch.testing.assert_close(rebuilt(video), trained(video), rtol=0, atol=0)
        assert resolve_backbone_config(dataclasses.replace(again, pretrained=False)) == (
            dataclasses.replace(again, pretrained=False)
        )


@pytest.mark.parametrize("size", [(16, 40), (48, 48)], ids=str)
def test_other_sizes_are_taken_by_the_towers_rule(make, case, draw, size):
    classifier = make(class_route="none", **BASELINE).eval()
    video = draw(1, 3, 2, *size)
    if case.any_size == "fixed":
        # only its own grid is accepted: larger frames need larger patches
        assert classifier.grid_size == 4
        with pytest.raises(ValueError, match=r"must be cut into 4x4 patches"):
            classifier(video, patch_size=8)
        assert classifier(draw(1, 3, 2, 48, 48)).isfinite().all()
        return
    expected = classifier.head(plain_vectors(case, classifier, video).mean(1))
    torch.testing.assert_close(classifier(video), expected, rtol=0, atol=0)


def test_patches_of_another_size_are_fitted_and_the_own_change_no_bit(make, case, draw, video):
    classifier = make(class_route="none").eval()
    torch.testing.assert_close(classifier(video, 8), classifier(video), rtol=0, atol=0)
    classifier(draw(1, 3, 2, 48, 48), patch_size=12).sum().backward()
    embedding = next(m for m in classifier.backbone.modules() if isinstance(m, torch.nn.Conv2d))
    assert embedding.weight.shape[-1] == 8
    assert embedding.weight.grad.any()


def test_gradient_checkpointing_changes_no_gradient(make, case, video):
    results = []
    for checkpointing in (False, True):
        classifier = make(gradient_checkpointing=checkpointing)
        torch.manual_seed(0)
        classifier(video).square().sum().backward()
        results.append(classifier)
    plain, checkpointed = results
    assert any(p.grad is not None for p in plain.parameters())
    for name, parameter in checkpointed.named_parameters():
        torch.testing.assert_close(parameter.grad, plain.get_parameter(name).grad)


def test_streams_get_the_answers_of_whole_clips(make, case, draw):
    settings = {"causal": True} if case.has_class_token else {"class_route": "none"}
    classifier = make(**settings).double().eval().requires_grad_(False)
    frames = draw(2, 3, 8, 32, 32, dtype=torch.float64)
    state = classifier.initial_state(2)
    answers = []
    for chunk in frames.split([1, 3, 4], dim=2):
        logits, state = classifier.steps(chunk, state)
        answers.append(logits)
    last = torch.cat([*answers, classifier.flush(state)], dim=1)[:, -1]
    torch.testing.assert_close(last, classifier(frames), rtol=0, atol=1e-12)


class TestWithoutClassToken:
    SIGLIP = CASES["siglip"].fields

    @pytest.mark.parametrize("route", ["token_t1d", "token_shift"])
    def test_a_route_of_class_tokens_is_refused_with_the_reason(self, make_classifier, route):
        with pytest.raises(ValueError, match=rf"{route} needs a class token, and SigLIP.* none, t"):
            make_classifier(backbone_config=self.SIGLIP, class_route=route)

    def test_the_last_block_is_a_place_for_the_module(self, make_classifier, video):
        settings = {"backbone_config": self.SIGLIP, "class_route": "none", "insert_after": 3}
        classifier = make_classifier(**settings)
        classifier(video).sum().backward()
        assert classifier.pks4.scanner.in_proj.weight.grad.any()
        with pytest.raises(ValueError, match=r"must be between 1 and 3: this backbone has 3 blo"):
            make_classifier(**{**settings, "insert_after": 4})


class TestPooledRoute:
    def test_mixes_the_frames_vectors_once(self, make_classifier, video):
        settings = {"backbone_config": CASES["siglip"].fields, **BASELINE}
        classifier = make_classifier(class_route="pooled_t1d", **settings).eval()
        vectors = plain_vectors(CASES["siglip"], classifier, video)
        taps = classifier.pooled_route.mix.weight
        past, next_ = torch.zeros_like(vectors), torch.zeros_like(vectors)
        past[:, 1:], next_[:, :-1] = vectors[:, :-1], vectors[:, 1:]
        mixed = past * taps[:, 0, 0] + vectors * taps[:, 0, 1] + next_ * taps[:, 0, 2]
        torch.testing.assert_close(classifier(video), classifier.head(mixed.mean(1)))
        assert not torch.allclose(classifier(video.flip(2)), classifier(video), atol=1e-4)

    @pytest.mark.parametrize("causal", [True, False])
    def test_is_followed_by_streams_where_it_looks_back_only(self, make_classifier, draw, causal):
        classifier = make_classifier(
            backbone_config=CASES["siglip"].fields, class_route="pooled_t1d", causal=causal
        )
        classifier = classifier.double().eval().requires_grad_(False)
        if not causal:
            with pytest.raises(ValueError, match="uses later frames"):
                classifier.initial_state(1)
            return
        frames = draw(1, 3, 6, 32, 32, dtype=torch.float64)
        logits, _ = classifier.steps(frames, classifier.initial_state(1))
        for t in (1, 3, 6):
            whole = classifier(frames[:, :, :t])
            torch.testing.assert_close(logits[:, t - 1], whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("backbone", "parameters"),
    [
        ("openai/clip-vit-base-patch16", 86_192_640),
        ("google/siglip-base-patch16-224", 92_884_224),
        ("google/siglip2-base-patch16-224", 92_884_224),
        ("facebook/dinov2-base", 86_580_480),
        ("facebook/dinov2-with-registers-base", 86_583_552),
        ("facebook/dinov3-vitb16-pretrain-lvd1689m", 85_660_416),
        ("google/vit-base-patch16-224", 85_798_656),
    ],
)
def test_published_towers_have_their_number_of_parameters(backbone, parameters):
    config = without_weights(PKS4Config(num_classes=174, backbone=backbone, class_route="none"))
    with torch.device("meta"):
        classifier = build_classifier(config)
    assert sum(p.numel() for p in classifier.backbone.parameters()) == parameters
    assert preprocessing_of(config).size == 224


@pytest.mark.parametrize("backbone", PUBLISHED)
def test_published_towers_are_described_without_a_network(backbone):
    config = PKS4Config(num_classes=5, backbone=backbone)
    described = without_weights(config)
    assert described.preprocessing["size"] in (224, 336)
    assert resolve_backbone_config(described) == described


def test_a_changed_default_of_transformers_is_noticed():
    assert SiglipVisionConfig().layer_norm_eps == 1e-6
