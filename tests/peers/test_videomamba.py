import pytest
import torch

from pks4_lightning.cost.flops import count_flops, total_flops
from pks4_lightning.cost.meta import meta_classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.peers.videomamba import BidirectionalMamba, VideoMamba
from pks4_lightning.peers.videomamba_weights import load_published
from tests.helpers.reference import videomamba_loop


@pytest.fixture
def make(randomise):
    """Build a tiny network whose parameters are all random."""

    def network(**settings):
        sizes = {"num_layers": 2, "image_size": 16, "patch_size": 4, "num_frames": 3, "d_state": 4}
        return randomise(VideoMamba(8, **{**sizes, **settings}))

    return network


@pytest.mark.parity
def test_equals_a_loop_over_the_tokens_forward_and_in_every_gradient(make, draw):
    network = make().double().eval()
    video = draw(2, 3, 3, 16, 16, dtype=torch.float64)  # 49 tokens
    ours = network(video)
    cotangent = draw(*ours.shape, seed=1, dtype=torch.float64)
    ours.backward(cotangent)
    weights = {k: x.detach().requires_grad_() for k, x in network.named_parameters()}
    theirs = videomamba_loop(weights, video)
    torch.testing.assert_close(ours, theirs)
    theirs.backward(cotangent)
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(
            parameter.grad, weights[name].grad, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parity
@pytest.mark.parametrize("num_frames", [8, 12])  # 1,569 and 2,353 tokens
def test_long_clips_equal_a_loop_over_the_tokens(make, draw, num_frames):
    network = make(num_layers=1, image_size=28, patch_size=2, num_frames=num_frames).double()
    video = draw(1, 3, num_frames, 28, 28, dtype=torch.float64)
    with torch.no_grad():
        for direction in (network.layers[0].mixer.ahead, network.layers[0].mixer.back):
            direction.dt_proj.bias.sub_(4.0)  # small steps and slow decay, so that states persist
            direction.A_log.sub_(4.0)
        ours = network.eval()(video)
        theirs = videomamba_loop(dict(network.named_parameters()), video)
        video[:, :, -1] = 0
        assert (network(video) - ours).abs().max() > 1e-3  # the last tokens affect the first
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("size", "num_classes", "expected"),
    [
        ("ti", 174, 6_990_126),
        ("s", 174, 25_481_646),
        ("m", 174, 73_745_454),
        ("ti", 400, 7_033_744),
        ("s", 400, 25_568_656),
        ("m", 400, 73_875_856),
    ],
)
def test_has_the_published_number_of_parameters(size, num_classes, expected):
    config = PKS4Config(num_classes=num_classes, network=f"videomamba_{size}", pretrained=False)
    assert sum(p.numel() for p in meta_classifier(config).parameters()) == expected


@pytest.mark.parametrize(
    ("size", "published", "whole"),
    [("ti", None, 14.46), ("s", 33.78, 46.97), ("m", 100.64, 129.79)],
)
def test_operations_are_the_published_ones_where_these_are_counted(size, published, whole):
    config = PKS4Config(num_classes=174, network=f"videomamba_{size}", pretrained=False)
    parts = count_flops(meta_classifier(config), num_frames=8, frame_size=224)
    assert total_flops(parts).all_matmuls / 1e9 == pytest.approx(whole, rel=0.003)
    if published is not None:
        counted = parts["embedding"].matmuls + parts["projections"].matmuls
        assert counted / 1e9 == pytest.approx(published, rel=0.003)


def test_every_token_is_seen_in_both_directions(randomise, draw):
    mixer = randomise(BidirectionalMamba(8, d_state=4)).double()
    x = draw(1, 5, 8, dtype=torch.float64).requires_grad_()
    for token in range(5):
        (seen,) = torch.autograd.grad(mixer(x)[:, token].sum(), x)
        assert (seen.abs().sum(-1) > 0).all()
    with torch.no_grad():
        mixer.back.D.zero_()
        mixer.back.conv1d.weight.zero_()
        mixer.back.conv1d.bias.zero_()
    (seen,) = torch.autograd.grad(mixer(x)[:, 2].sum(), x)
    assert (seen.abs().sum(-1) > 0).tolist() == [[True, True, True, False, False]]


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("num_frames", [1, 3, 5])
@pytest.mark.parametrize(("frame_size", "patch_size"), [(16, None), (24, 6), (24, 4), (8, 2)])
def test_any_length_size_and_patch_train_every_parameter(
    make, draw, num_frames, frame_size, patch_size, checkpointing
):
    # a block that stochastic depth drops for all clips has no gradient
    network = make(gradient_checkpointing=checkpointing, drop_path_rate=0.0)
    network(draw(2, 3, num_frames, frame_size, frame_size), patch_size).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # the class token is first, so its forward scan in the last layer has no history
        assert parameter.grad.any() or name == "layers.1.mixer.ahead.A_log", name


def test_checkpointing_changes_no_gradient(make, draw):
    gradients = []
    for checkpointing in (False, True):
        network = make(gradient_checkpointing=checkpointing, drop_path_rate=0.0)
        network(draw(2, 3, 3, 16, 16)).square().sum().backward()
        gradients.append([p.grad for p in network.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain, rtol=0, atol=0)


def test_whole_branches_are_left_out_more_often_the_deeper_they_lie(make, draw):
    network = make(num_layers=3, drop_path_rate=0.8)
    assert [layer.drop_path_rate for layer in network.layers] == pytest.approx([0, 0.4, 0.8])
    layer, x = network.layers[2].train(), draw(1, 5, 8).expand(2000, -1, -1)
    torch.manual_seed(0)
    with torch.no_grad():
        changed = layer(x) - x
        branch = layer.eval()(x[:1]) - x[:1]
    left_out = (changed == 0).all(-1).all(-1)
    assert left_out.float().mean().item() == pytest.approx(0.8, abs=0.03)
    torch.testing.assert_close(changed[~left_out][:1], branch / 0.2, rtol=1e-4, atol=1e-5)


def test_the_residual_stream_stays_in_float32_under_autocast(make, draw):
    network = make().eval()
    seen = []
    network.layers[1].register_forward_pre_hook(lambda _, args: seen.append(args[0].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        network(draw(1, 3, 3, 16, 16))
    assert seen == [torch.float32]


def test_half_precision_takes_other_lengths_and_grids(make, draw):
    network = make().eval()
    video = draw(1, 3, 4, 8, 16)
    with torch.no_grad():
        exact = network(video)
        half = network.bfloat16()(video.bfloat16())
    assert half.dtype == torch.bfloat16
    assert (half - exact).norm() < 0.1 * exact.norm()


def published_names(network, *, wrapper=None, image=False):
    """Return the network's weights with the names and shapes of VideoMamba's own code."""
    theirs = {}
    for name, tensor in network.state_dict().items():
        head, dot, part = name.partition(".mixer.")
        if dot:
            direction, _, rest = part.partition(".")
            if direction == "back":
                rest = {"A_log": "A_b_log", "D": "D_b"}.get(rest, rest.replace(".", "_b."))
            part = rest if direction in ("ahead", "back") else part
            theirs[f"{head}.mixer.{part}"] = tensor
        elif name.startswith("layers."):
            theirs[name] = tensor
        else:
            theirs[
                {
                    "embedding.patches.weight": "patch_embed.proj.weight",
                    "embedding.patches.bias": "patch_embed.proj.bias",
                    "embedding.class_embedding": "cls_token",
                    "embedding.position_embedding": "pos_embed",
                    "embedding.temporal_embedding": "temporal_pos_embedding",
                    "norm.weight": "norm_f.weight",
                }[name]
            ] = tensor
    theirs["cls_token"] = theirs["cls_token"].view(1, 1, -1)
    theirs["pos_embed"] = theirs["pos_embed"].unsqueeze(0)
    theirs["temporal_pos_embedding"] = theirs["temporal_pos_embedding"].unsqueeze(0)
    if image:
        del theirs["temporal_pos_embedding"]
    else:
        theirs["patch_embed.proj.weight"] = theirs["patch_embed.proj.weight"].unsqueeze(2)
    theirs["head.weight"], theirs["head.bias"] = torch.ones(5, 8), torch.zeros(5)
    return theirs if wrapper is None else {wrapper: theirs}


PUBLISHED = {
    "layers.0.mixer.A_b_log", "layers.0.mixer.A_log", "layers.0.mixer.D", "layers.0.mixer.D_b",
    "layers.0.mixer.conv1d.bias", "layers.0.mixer.conv1d.weight", "layers.0.mixer.conv1d_b.bias",
    "layers.0.mixer.conv1d_b.weight", "layers.0.mixer.dt_proj.bias",
    "layers.0.mixer.dt_proj.weight", "layers.0.mixer.dt_proj_b.bias",
    "layers.0.mixer.dt_proj_b.weight", "layers.0.mixer.in_proj.weight",
    "layers.0.mixer.out_proj.weight", "layers.0.mixer.x_proj.weight",
    "layers.0.mixer.x_proj_b.weight", "layers.0.norm.weight", "cls_token", "pos_embed",
    "temporal_pos_embedding", "patch_embed.proj.weight", "patch_embed.proj.bias", "norm_f.weight",
    "head.weight", "head.bias",
}  # fmt: skip


@pytest.mark.parametrize("wrapper", [None, "model", "module"])
def test_published_weights_are_found_under_their_names(make, tmp_path, draw, wrapper):
    network = make(num_layers=1)
    theirs = published_names(network, wrapper=wrapper)
    assert set(theirs[wrapper] if wrapper else theirs) == PUBLISHED
    torch.save(theirs, tmp_path / "videomamba.pth")
    other = VideoMamba(8, num_layers=1, image_size=16, patch_size=4, num_frames=3, d_state=4)
    head = load_published(other, tmp_path / "videomamba.pth")
    assert {name: tuple(x.shape) for name, x in head.items()} == {"weight": (5, 8), "bias": (5,)}
    video = draw(1, 3, 3, 16, 16)
    torch.testing.assert_close(other.eval()(video), network.eval()(video), rtol=0, atol=0)


def test_an_image_models_weights_start_a_video_model_on_another_grid(make, tmp_path):
    torch.save(published_names(make(), image=True), tmp_path / "image.pth")
    network = make(image_size=24, num_frames=5)
    load_published(network, tmp_path / "image.pth")
    assert network.embedding.position_embedding.shape == (37, 8)
    assert not network.embedding.temporal_embedding.any()


def test_temporal_embeddings_follow_the_clips_length_linearly(make, tmp_path):
    torch.save(published_names(make()), tmp_path / "video.pth")
    network = make(num_frames=6)
    load_published(network, tmp_path / "video.pth")
    of_three = make().embedding.temporal_embedding
    torch.testing.assert_close(network.embedding.temporal_embedding[0], of_three[0])
    torch.testing.assert_close(
        network.embedding.temporal_embedding[1], 0.75 * of_three[0] + 0.25 * of_three[1]
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda w: w.pop("norm_f.weight"), "it lacks norm.weight"),
        (
            lambda w: w.update({"decoder.weight": torch.ones(1)}),
            "the network has no decoder.weight",
        ),
        (
            lambda w: w.update({"layers.0.norm.weight": torch.ones(7)}),
            r"layers.0.norm.weight is \(7,\) instead of \(8,\)",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(make, tmp_path, change, sentence):
    network = make()
    weights = published_names(network)
    change(weights)
    torch.save(weights, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=sentence):
        load_published(network, tmp_path / "other.pth")


class Harmful:
    def __reduce__(self):
        return print, ("code has run",)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [({"model": Harmful()}, "could run code"), ([1, 2], "is not a state dict")],
)
def test_a_file_that_holds_more_than_tensors_is_refused(make, tmp_path, capsys, content, sentence):
    torch.save(content, tmp_path / "bad.pth")
    with pytest.raises(ValueError, match=sentence):
        load_published(make(), tmp_path / "bad.pth")
    assert capsys.readouterr().out == ""
    with pytest.raises(FileNotFoundError, match=r"published \.pth file"):
        load_published(make(), tmp_path / "none.pth")
