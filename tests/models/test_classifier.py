import copy
import dataclasses
import io
import logging
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch.distributed.fsdp import fully_shard
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.models.pks4 import PKS4Module
from pks4_lightning.models.resolve import resolve_backbone_config
from tests.conftest import ROOT
from tests.helpers.towers import CASES

BASELINE = {"use_scanner": False, "use_variation": False, "use_correlation": False}
B16 = {"patch_size": 16}
L14 = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "patch_size": 14,
    "projection_dim": 768,
}


# torch's compiler imports deprecated modules when it is first loaded
COMPILER_WARNINGS = pytest.mark.filterwarnings(
    "ignore:.*torch.jit.*is deprecated:DeprecationWarning"
)


@pytest.fixture
def video(draw):
    return draw(2, 3, 4, 32, 32)


@pytest.mark.parametrize(
    ("backbone_config", "settings", "millions"),
    [
        (B16, BASELINE, 86.3372),
        (B16, {"use_variation": False, "use_correlation": False}, 90.1096),
        (B16, {"use_correlation": False}, 90.8605),
        (B16, {}, 91.6951),
        (B16, {"bidirectional": True}, 95.4675),
        (L14, {"insert_after": 16}, 312.8294),
    ],
    ids=["baseline", "KS4", "KS4+variation", "full", "bidirectional", "L/14"],
)
def test_has_the_papers_number_of_parameters(backbone_config, settings, millions):
    config = PKS4Config(
        num_classes=174, pretrained=False, backbone_config=backbone_config, **settings
    )
    with torch.device("meta"):
        classifier = build_classifier(config)
    count = sum(parameter.numel() for parameter in classifier.parameters())
    assert round(count / 1e6, 4) == millions


@pytest.mark.parametrize(
    ("backbone_config", "image_size", "num_patches"),
    [
        ({"patch_size": 32}, 224, 49),
        (B16, 224, 196),
        (L14, 224, 256),
        ({**L14, "image_size": 336}, 336, 576),
    ],
    ids=["B/32", "B/16", "L/14", "L/14@336"],
)
def test_takes_every_size_of_clip(backbone_config, image_size, num_patches):
    config = PKS4Config(num_classes=7, pretrained=False, backbone_config=backbone_config)
    with torch.device("meta"):
        classifier = build_classifier(config)
        video = torch.empty(2, 3, 4, image_size, image_size)
    shapes = []
    classifier.pks4.register_forward_hook(lambda _, _args, y: shapes.append(y.shape))
    assert classifier(video).shape == (2, 7)
    assert shapes == [(8, 1 + num_patches, backbone_config.get("hidden_size", 768))]


@pytest.mark.parametrize("settings", [{"prior_init": "zero"}, BASELINE], ids=["PKS4", "baseline"])
def test_a_new_classifier_that_starts_at_zero_is_the_plain_clip_tower(
    make_classifier, tiny_fields, video, settings
):
    classifier = make_classifier(fresh=True, class_route="none", **settings).eval()
    plain = CLIPVisionModelWithProjection(CLIPVisionConfig(**tiny_fields)).eval()
    plain.load_state_dict(classifier.backbone.state_dict())
    frames = video.transpose(1, 2).reshape(8, 3, 32, 32)
    pooled = plain(frames).image_embeds.reshape(2, 4, 8).mean(1)
    expected = pooled @ classifier.head.weight.T + classifier.head.bias
    torch.testing.assert_close(classifier(video), expected)


def test_mean_and_head_keep_their_precision_under_autocast(make_classifier, video):
    classifier = make_classifier().eval()
    embeddings = []
    classifier.backbone.register_forward_hook(lambda _, _args, y: embeddings.append(y.image_embeds))
    with torch.autocast("cpu", torch.bfloat16):
        logits = classifier(video)
    assert embeddings[0].dtype == torch.bfloat16
    expected = classifier.head(embeddings[0].float().reshape(2, 4, 8).mean(1))
    torch.testing.assert_close(logits, expected, rtol=0, atol=0)


def test_pks4_acts_once_after_its_block_and_is_removable(make_classifier, video):
    classifier = make_classifier(class_route="none").eval()
    blocks = classifier.backbone.vision_model.encoder.layers
    outputs, calls = [], []
    for block in blocks:
        block.register_forward_hook(lambda _, args, y: outputs.append((args[0], y)))
    classifier.pks4.register_forward_hook(lambda _, args, y: calls.append((args, y)))
    with_pks4 = classifier(video)
    ((tokens, layout), updated) = calls[0]
    assert len(calls) == 1
    assert tokens.shape == (2 * 4, 17, 16)
    assert (layout.num_frames, layout.grid_size) == (4, (4, 4))
    torch.testing.assert_close(outputs[2][0], updated, rtol=0, atol=0)
    assert not torch.equal(outputs[2][0], tokens)

    classifier.pks4.remove()
    without = classifier(video)
    assert len(calls) == 1
    assert not torch.allclose(without, with_pks4)


@pytest.mark.parametrize("insert_after", [3, 12])
def test_a_place_that_no_later_block_would_read_is_refused(make_classifier, insert_after):
    sentence = (
        rf"insert_after \({insert_after}\) must be between 1 and 2: this backbone has 3 blocks"
    )
    with pytest.raises(ValueError, match=sentence):
        make_classifier(insert_after=insert_after)


@pytest.mark.parametrize("settings", [{"temporal": "frame_average"}, {"class_route": "token_t1d"}])
def test_a_frozen_part_deeper_than_the_tower_is_refused_as_that(make_classifier, settings):
    classifier = make_classifier(**{**BASELINE, **settings, "insert_after": 8})
    with pytest.raises(ValueError, match="insert_after is 8, but the tower has 3 blocks: set"):
        classifier.freeze("after_insertion")


def test_tokens_of_frames_that_are_not_square_are_refused(make_classifier, draw):
    classifier = make_classifier(class_route="none").eval()
    # 2 x 8 patches are as many as 4 x 4
    with pytest.raises(ValueError, match="2 x 8 patches, and tokens can only stand for square"):
        classifier.trunk_tokens(draw(1, 3, 2, 16, 64))


@pytest.mark.parametrize(
    "settings",
    [
        *({"class_route": kind} for kind in ("none", "tsm", "token_t1d", "token_shift")),
        {"use_variation": False, "use_correlation": False},
        {"use_correlation": False},
        {"use_variation": False},
        {"insert_after": 1},
        {"bidirectional": True},
        *({"context_frames": frames} for frames in (0, 2, 6)),
        {"residual": "literal"},
        BASELINE,
    ],
    ids=lambda settings: ",".join(f"{k}={v}" for k, v in settings.items()),
)
def test_every_row_of_the_ablations_runs_and_every_parameter_learns(
    make_classifier, video, settings
):
    classifier = make_classifier(**settings)
    F.cross_entropy(classifier(video), torch.tensor([0, 3])).backward()
    for name, parameter in classifier.named_parameters():
        assert parameter.grad is not None, name
        # a constant added to all keys does not change attention; a frame does not vary from itself
        blind = ".variation." if settings.get("context_frames") == 0 else "k_proj.bias"
        if blind not in name and "k_proj.bias" not in name:
            assert parameter.grad.abs().sum() > 0, name


def test_only_the_baseline_is_blind_to_the_order_of_frames(make_classifier, video):
    baseline = make_classifier(class_route="none", **BASELINE).eval()
    torch.testing.assert_close(baseline(video.flip(2)), baseline(video))
    for settings in ({"class_route": "none"}, {**BASELINE, "class_route": "token_t1d"}):
        classifier = make_classifier(**settings).eval()
        assert not torch.allclose(classifier(video.flip(2)), classifier(video), atol=1e-4)


@pytest.mark.parametrize("size", [(8, 8), (16, 40), (48, 48)], ids=str)
@pytest.mark.parametrize("num_frames", [1, 3], ids=lambda T: f"T{T}")
def test_takes_any_number_of_frames_and_any_grid(make_classifier, draw, num_frames, size):
    logits = make_classifier()(draw(2, 3, num_frames, *size))
    assert logits.shape == (2, 5)
    assert logits.isfinite().all()


def test_clips_do_not_mix(make_classifier, video):
    classifier = make_classifier().eval()
    torch.testing.assert_close(classifier(video)[1:], classifier(video[1:]))


@pytest.mark.parametrize("settings", [{}, {"temporal": "st_adapter"}, {"class_route": "none"}])
@pytest.mark.parametrize(
    "shape", [(3, 4, 32, 32), (3, 32, 32), (0, 3, 4, 32, 32), (2, 3, 0, 32, 32)], ids=str
)
@pytest.mark.usefixtures("unchecked")
def test_what_is_not_a_batch_of_clips_is_refused_with_the_axes(tiny_fields, settings, shape):
    config = PKS4Config(
        num_classes=5, pretrained=False, backbone_config=tiny_fields, insert_after=2, **settings
    )
    clips = torch.zeros(shape)
    with pytest.raises(ValueError, match=f"B x C x T x H x W, .* got {shape[0]} x {shape[1]} x"):
        build_classifier(config).clip_vectors(clips)


@pytest.mark.parametrize("case", ["clip", "siglip", "dinov2", "dinov3", "vit", "aimv2"])
def test_weights_in_half_precision_take_pixels_in_float32(make_classifier, draw, case):
    route = "token_t1d" if CASES[case].has_class_token else "tsm"
    classifier = make_classifier(backbone_config=CASES[case].fields, class_route=route).bfloat16()
    assert classifier.eval()(draw(1, 3, 2, 32, 32)).dtype == torch.bfloat16


def test_frames_that_patches_cannot_cover_are_refused(make_classifier, draw):
    with pytest.raises(ValueError, match="30x32 pixels cannot be cut into patches of 8x8"):
        make_classifier()(draw(1, 3, 2, 30, 32))


def test_state_dict_keys_are_the_parameters_and_statistics_once_each(make_classifier):
    classifier = make_classifier()
    tensors = [*classifier.named_parameters(remove_duplicate=False), *classifier.named_buffers()]
    persistent = {name for name, _ in tensors if not name.endswith("position_ids")}
    state = classifier.state_dict()
    assert set(state) == persistent
    assert len({x.data_ptr() for x in state.values()}) == len(state)
    assert {name.split(".")[0] for name in state} == {"backbone", "pks4", "class_route", "head"}


@pytest.mark.parametrize("class_route", ["token_t1d", "tsm"])
@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_the_hooks_of_a_copy_call_the_copy(make_classifier, video, class_route, how):
    classifier = make_classifier(class_route=class_route).eval()
    before = classifier(video)
    if how == "deepcopy":
        twin = copy.deepcopy(classifier)
    else:
        buffer = io.BytesIO()
        torch.save(classifier, buffer)
        buffer.seek(0)
        twin = torch.load(buffer, weights_only=False)
    torch.testing.assert_close(twin(video), before, rtol=0, atol=0)

    calls = []
    for name, model in (("original", classifier), ("twin", twin)):
        model.pks4.register_forward_hook(lambda *_, name=name: calls.append(name))
    with torch.no_grad():
        for part in (classifier.pks4, classifier.class_route):
            for parameter in part.parameters():
                parameter.zero_()
    # another number of frames, which the twin must not read from the original
    classifier(video[:, :, :1])
    torch.testing.assert_close(twin(video), before, rtol=0, atol=0)
    assert calls == ["original", "twin"]

    twin.pks4.remove()
    for route in twin.class_route:
        route.remove()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in twin.backbone.modules())
    classifier(video)
    assert calls == ["original", "twin", "original"]


def test_nothing_of_a_forward_pass_is_kept(make_classifier, video):
    classifier = make_classifier()
    classifier(video)
    for name, module in classifier.named_modules():
        owned = [v for v in vars(module).values() if isinstance(v, torch.Tensor)]
        assert not owned, name


@pytest.mark.parametrize("class_route", ["token_t1d", "tsm"])
def test_gradient_checkpointing_changes_neither_gradients_nor_statistics(
    make_classifier, video, class_route
):
    results = []
    for checkpointing in (False, True):
        classifier = make_classifier(gradient_checkpointing=checkpointing, class_route=class_route)
        calls = []
        classifier.pks4.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        classifier(video).square().sum().backward()
        assert len(calls) == 1
        results.append(classifier)
    plain, checkpointed = results
    for name, parameter in checkpointed.named_parameters():
        torch.testing.assert_close(parameter.grad, plain.get_parameter(name).grad)
    buffers = dict(plain.named_buffers())
    for name, buffer in checkpointed.named_buffers():
        torch.testing.assert_close(buffer, buffers[name], rtol=0, atol=0)
        if name.endswith("num_batches_tracked"):
            assert buffer == 1, name


def test_gradient_checkpointing_saves_activations(make_classifier, video):
    saved = {}
    for checkpointing in (False, True):
        classifier = make_classifier(gradient_checkpointing=checkpointing, **BASELINE)
        sizes = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x, sizes=sizes: sizes.update({x.data_ptr(): x.nbytes}) or x, lambda x: x
        ):
            classifier(video)
        saved[checkpointing] = sum(sizes.values())
    assert saved[True] < 0.6 * saved[False]


def test_trains_under_bfloat16_autocast(make_classifier, video):
    classifier = make_classifier()
    exact = classifier(video)
    with torch.autocast("cpu", torch.bfloat16):
        logits = classifier(video)
    assert (logits - exact).norm() < 0.05 * exact.norm()
    logits.float().square().sum().backward()
    for name, parameter in classifier.named_parameters():
        assert parameter.grad.isfinite().all(), name


ALL_COMPILED = [
    *("clip", "siglip", "dinov2 registers", "dinov3"),
    "clip with scanner=gru with context_frames=0 with zero_context=previous",
    "clip with scanner=attention with residual=literal",
    "clip with scanner=none with prior_precision=fp32"
    " with variation_ends=negative with class_route=tsm with tsm_shifts=block",
]


@pytest.mark.parametrize(
    ("backend", "cases"),
    [
        ("aot_eager", ["clip"]),
        pytest.param("aot_eager", ALL_COMPILED, marks=pytest.mark.slow),
        pytest.param("inductor", ALL_COMPILED, marks=pytest.mark.slow),
    ],
    ids=["aot_eager", "aot_eager, all", "inductor, all"],
)
def test_compiled_in_one_graph_equals_eager_forward_and_backward(backend, cases):
    # in a separate process, because run-time shape checks would break the graph
    script = ROOT / "tests" / "helpers" / "compare_compiled.py"
    run = subprocess.run([sys.executable, script, backend, *cases], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_a_seed_draws_the_module_before_the_backbone(make_classifier):
    """The order of the first release; another order would change the initial weights of a seed."""
    torch.manual_seed(0)
    alone = PKS4Module(16, window_size=3, d_prior=4, d_state=4)
    torch.manual_seed(0)
    inside = make_classifier(fresh=True).pks4
    torch.testing.assert_close(inside.state_dict(), alone.state_dict(), rtol=0, atol=0)


@COMPILER_WARNINGS
def test_compile_is_asked_of_the_classifier_and_keeps_its_keys(make_classifier):
    plain, compiled = make_classifier(), make_classifier(compile=True)
    assert compiled._compiled_call_impl is not None
    assert plain._compiled_call_impl is None
    assert compiled.state_dict().keys() == plain.state_dict().keys()


# logits of make_classifier(residual=...).eval() for `video`, printed with
# torch.set_printoptions(precision=6); update them only with an explanation of why they changed
GOLDEN = {
    "single": [
        [0.043167, 0.104939, -0.469092, -0.535383, -0.070904],
        [-1.099167, -0.062628, -0.779843, -0.848099, 0.854950],
    ],
    "post_prior": [
        [-0.278121, 0.111833, -0.478528, -0.481211, 0.163594],
        [-1.371908, -0.005070, -0.740284, -0.793772, 1.007252],
    ],
}


@pytest.mark.parametrize("residual", GOLDEN)
def test_logits_are_those_recorded(make_classifier, video, residual):
    logits = make_classifier(residual=residual).eval()(video)
    torch.testing.assert_close(logits, torch.tensor(GOLDEN[residual]), rtol=1e-4, atol=1e-5)


@pytest.fixture
def one_process(tmp_path):
    """A process group of a single process."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("one_process")
def test_fully_sharded_equals_whole_forward_and_backward(make_classifier, video):
    whole, sharded = make_classifier(), make_classifier()
    mesh = torch.distributed.init_device_mesh("cpu", (1,))
    for block in sharded.backbone.vision_model.encoder.layers:
        fully_shard(block, mesh=mesh)
    fully_shard(sharded.pks4, mesh=mesh)
    fully_shard(sharded, mesh=mesh)
    for classifier in (whole, sharded):
        classifier(video).square().sum().backward()
    for name, parameter in sharded.named_parameters():
        expected = whole.get_parameter(name).grad
        torch.testing.assert_close(parameter.grad.full_tensor(), expected, rtol=1e-4, atol=1e-5)


class TestWithoutTheOriginalWeights:
    @pytest.fixture
    def folder(self, tmp_path, tiny_fields):
        tower = CLIPVisionModelWithProjection(CLIPVisionConfig(**tiny_fields))
        tower.save_pretrained(tmp_path / "backbone")
        return tmp_path / "backbone"

    @pytest.fixture
    def config(self, folder):
        return PKS4Config(num_classes=5, backbone=str(folder), insert_after=2)

    def test_weights_come_from_the_folder(self, config, folder):
        theirs = CLIPVisionModelWithProjection.from_pretrained(folder).state_dict()
        ours = build_classifier(config).backbone.state_dict()
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)

    def test_loading_reports_loaded_and_new_parameters(self, config, caplog):
        with caplog.at_level(logging.INFO, logger="pks4_lightning"):
            build_classifier(config)
        loaded, new = caplog.messages
        assert loaded.startswith("Loaded")
        assert new.startswith("Newly initialised")
        assert all(part in new for part in ("pks4", "class_route", "head"))

    def test_building_for_a_checkpoint_reports_nothing(self, config, caplog):
        with caplog.at_level(logging.INFO, logger="pks4_lightning"):
            build_classifier(config, load_weights=False)
        assert caplog.messages == []

    def test_a_resolved_config_builds_when_the_folder_is_gone(self, config, folder, draw):
        trained = build_classifier(config).eval()
        resolved = resolve_backbone_config(config)
        folder.rename(folder.with_name("elsewhere"))
        rebuilt = build_classifier(resolved, load_weights=False).eval()
        rebuilt.load_state_dict(trained.state_dict())
        video = draw(1, 3, 2, 32, 32)
        torch.testing.assert_close(rebuilt(video), trained(video), rtol=0, atol=0)

    def test_a_resolved_config_still_loads_the_weights(self, config):
        resolved = resolve_backbone_config(config)
        assert resolved == resolve_backbone_config(resolved)
        expected = build_classifier(config).backbone.state_dict()
        state = build_classifier(resolved).backbone.state_dict()
        torch.testing.assert_close(state, expected, rtol=0, atol=0)

    def test_a_resolved_config_is_of_plain_types(self, config, tiny_fields):
        fields = resolve_backbone_config(config).backbone_config
        assert {name: fields[name] for name in tiny_fields} == tiny_fields
        assert {type(value) for value in fields.values()} <= {int, float, str}

    def test_the_architecture_is_read_from_the_folder_without_its_weights(self, config, folder):
        (folder / "model.safetensors").unlink()
        rebuilt = build_classifier(config, load_weights=False)
        assert rebuilt.backbone.config.hidden_size == 16
        scratch = build_classifier(dataclasses.replace(config, pretrained=False))
        assert scratch.backbone.config.hidden_size == 16
        with pytest.raises(FileNotFoundError, match=r"contains none of model\.safetensors"):
            build_classifier(config)
