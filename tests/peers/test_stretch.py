"""StretchySnake on VideoMamba, for which it was published: variants, exactness, gradients, grid."""

import json

import pytest
import torch
import torch.nn.functional as F

from pks4_lightning.__main__ import main
from pks4_lightning.cli.lightning_cli import run_cli
from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from tests.test_flexible import VARIANTS, overrides

NETWORK = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "image_size": 32,
    "patch_size": 8,
    "num_frames": 4,
    "d_state": 4,
    "drop_path_rate": 0.0,
}


@pytest.fixture
def make(randomise):
    def classifier(**settings):
        config = PKS4Config(
            num_classes=5,
            pretrained=False,
            network="videomamba_ti",
            backbone_config=NETWORK,
            **settings,
        )
        return randomise(build_classifier(config)).double().eval()

    return classifier


@pytest.fixture
def video(draw):
    return draw(2, 3, 4, 32, 32, dtype=torch.float64)


def test_the_own_scale_changes_no_bit(make, video):
    expected = make()(video)
    for settings, patch_size in (({}, 8), ({"grid_size": "own"}, None), ({"grid_size": 4}, 8)):
        torch.testing.assert_close(make(**settings)(video, patch_size), expected, rtol=0, atol=0)


@pytest.mark.parametrize("patch_size", [12, 16, 24])
def test_enlarged_clips_on_a_fixed_grid_have_the_logits_of_the_small_ones(make, video, patch_size):
    patches = video.unflatten(-1, (4, 8)).unflatten(-3, (4, 8)).movedim(-2, -3)
    enlarged = F.interpolate(
        patches.flatten(0, -3).unsqueeze(1), size=(patch_size,) * 2, mode="bicubic", antialias=True
    )
    shape = (*patches.shape[:-2], patch_size, patch_size)
    large = enlarged.view(shape).movedim(-3, -2).flatten(-2).flatten(-3, -2)
    classifier = make(grid_size=4)
    torch.testing.assert_close(classifier(large), classifier(video))


def test_temporal_embeddings_are_interpolated_linearly_and_none_is_lost(make, draw):
    classifier = make()
    embedding = classifier.network.embedding
    video = draw(1, 3, 8, 32, 32, dtype=torch.float64)
    tokens = embedding(video)[:, 1:].unflatten(1, (8, 16))
    with torch.no_grad():
        own = embedding.temporal_embedding.clone()
        embedding.temporal_embedding.zero_()
        added = tokens - embedding(video)[:, 1:].unflatten(1, (8, 16))
    middles = (torch.arange(8, dtype=torch.float64) + 0.5) / 2 - 0.5  # in original frames
    before = middles.clamp(0, 3).floor().long().clamp(max=2)
    share = (middles.clamp(0, 3) - before).unsqueeze(1)
    expected = (1 - share) * own[before] + share * own[before + 1]
    torch.testing.assert_close(added[0], expected.unsqueeze(1).expand(-1, 16, -1))


def test_weights_in_half_precision_take_pixels_in_float32(make, draw):
    classifier = make().bfloat16()
    assert classifier(draw(1, 3, 3, 32, 48)).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("num_frames", "frame_size", "patch_size"), [(2, 48, 12), (8, 24, 6), (6, 48, None), (4, 16, 4)]
)
def test_gradients_reach_the_one_parameter_of_each_kind_at_every_scale(
    make, draw, num_frames, frame_size, patch_size
):
    classifier = make().train()
    video = draw(1, 3, num_frames, frame_size, frame_size, dtype=torch.float64)
    embedding = classifier.network.embedding

    def loss():
        return classifier(video, patch_size).square().sum()

    loss().backward()
    assert embedding.patches.weight.shape[-1] == 8
    for parameter in embedding.parameters():
        direction = draw(*parameter.shape, seed=1, dtype=torch.float64)
        with torch.no_grad():
            step = 1e-5
            parameter.add_(direction, alpha=step)
            above = loss()
            parameter.add_(direction, alpha=-2 * step)
            below = loss()
            parameter.add_(direction, alpha=step)
        expected = (above - below) / (2 * step)
        torch.testing.assert_close(
            (parameter.grad * direction).sum(), expected, rtol=1e-5, atol=1e-8
        )


@pytest.fixture(scope="module")
def network_args(tiny_args):
    return [
        *tiny_args,
        "--model.classifier.network=videomamba_ti",
        f"--model.classifier.backbone_config={json.dumps(NETWORK)}",
        "--trainer.max_epochs=1",
    ]


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_trains(network_args, tmp_path, name):
    cli = run_cli(
        ["fit", *network_args, *overrides(name), f"--trainer.default_root_dir={tmp_path}"]
    )
    assert cli.trainer.global_step == 2
    embedding = cli.model.classifier.network.embedding
    assert [tuple(x.shape) for x in embedding.parameters()] == [
        (8,),
        (17, 8),
        (4, 8),
        (8, 3, 8, 8),
        (8,),
    ]


@pytest.mark.slow
def test_a_grid_is_tested_beside_another_checkpoint(network_args, tmp_path):
    for name in ("none", "static_tokens"):
        root = f"--trainer.default_root_dir={tmp_path / name}"
        run_cli(["fit", *network_args, *overrides(name), root])
    stretched, plain = (
        str(tmp_path / name / "checkpoints" / "last.ckpt") for name in ("static_tokens", "none")
    )
    grid = ["--frames", "2", "4", "--resolutions", "16", "32", "48", f"--out={tmp_path / 'grid'}"]
    assert main(["stretch", f"--ckpt_path={stretched}", f"--against={plain}", *grid]) == 0
    cells = json.loads((tmp_path / "grid" / "results.json").read_text())["cells"]
    assert len(cells) == 12
    cost = {(cell["num_frames"], cell["resolution"]): cell["gflops"] for cell in cells}
    # the number of tokens is the same at every resolution and, except for the class token,
    # proportional to the frames; only the resize of patches grows with resolution
    assert cost[4, 32] / cost[2, 32] == pytest.approx(2, rel=0.05)
    assert (tmp_path / "grid" / "heat_map.png").is_file()
