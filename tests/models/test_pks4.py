import pytest
import torch

from pks4_lightning.cost.traffic import count_traffic
from pks4_lightning.insertion import ClipLayout
from pks4_lightning.models.pks4 import PKS4Module

D = 6
GRID = (2, 3)


def make_module(**settings):
    return PKS4Module(D, **{"d_prior": 4, "window_size": 3, "d_state": 4, **settings})


def run(module, tokens, grid_size=GRID):
    """Apply the module to tokens B T L D."""
    layout = ClipLayout(num_frames=tokens.shape[1], grid_size=grid_size)
    return module(tokens.flatten(0, 1), layout).unflatten(0, tokens.shape[:2])


@pytest.fixture
def tokens(draw):
    return draw(2, 5, 7, D)


@pytest.mark.parametrize("settings", [{"residual": "single"}, {"prior_init": "zero"}], ids=str)
def test_a_new_module_can_be_the_identity_and_gradients_reach_the_scanner(tokens, settings):
    module = make_module(**settings)
    y = run(module, tokens)
    torch.testing.assert_close(y, tokens, rtol=0, atol=0)
    y.square().sum().backward()
    assert module.scanner.out_proj.weight.grad.abs().sum() > 0


def test_a_new_module_adds_the_priors_and_its_scanner_learns(tokens):
    module = make_module()
    y = run(module, tokens)
    grid = tokens[:, :, 1:].unflatten(2, GRID).permute(0, 1, 4, 2, 3)
    with_priors = module.prior_encoder(grid).permute(0, 1, 3, 4, 2).flatten(2, 3)
    torch.testing.assert_close(y[:, :, 1:], with_priors, rtol=0, atol=0)
    assert not torch.equal(with_priors, tokens[:, :, 1:])
    y.square().sum().backward()
    assert module.scanner.out_proj.weight.grad.abs().sum() > 0


def test_every_parameter_learns_once_the_output_projection_has_moved(randomise, tokens):
    module = randomise(make_module(bidirectional=True))
    run(module, tokens).square().sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_tokens_are_copied_once_forward_and_once_backward(tokens):
    module = make_module(use_variation=False, use_correlation=False, scanner="none")
    tokens.requires_grad_()
    cotangent = torch.ones_like(tokens)
    copied = count_traffic(lambda: run(module, tokens).backward(cotangent)).copied
    assert copied == 2 * 2 * tokens.nbytes  # read and written, where prefix and patches are joined


def test_class_tokens_pass_unchanged(randomise, tokens):
    y = run(randomise(make_module()), tokens)
    torch.testing.assert_close(y[:, :, 0], tokens[:, :, 0], rtol=0, atol=0)
    assert not torch.equal(y[:, :, 1:], tokens[:, :, 1:])


def test_without_priors_patch_locations_do_not_mix_and_time_runs_forward(randomise, tokens, draw):
    module = randomise(make_module(use_variation=False, use_correlation=False))
    y = run(module, tokens)
    tokens[:, 3, 4] += draw(D, seed=1)
    changed = (run(module, tokens) != y).any(-1).any(0)
    expected = torch.zeros(5, 7, dtype=torch.bool)
    expected[3:, 4] = True
    assert torch.equal(changed, expected)


def test_patches_keep_their_place_on_the_grid(randomise, tokens):
    module = randomise(make_module()).eval()
    grid = tokens[:, :, 1:].reshape(2, 5, *GRID, D)
    mirrored = torch.cat([tokens[:, :, :1], grid.flip(3).reshape(2, 5, 6, D)], dim=2)
    # with symmetric kernels, a mirrored frame gives a mirrored output
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d) and layer.kernel_size == (3, 3):
            with torch.no_grad():
                layer.weight.copy_((layer.weight + layer.weight.flip(-1)) / 2)
    weight = module.prior_encoder.correlation.displacement[0][0].weight
    with torch.no_grad():
        window = weight.unflatten(1, (3, 3))
        weight.copy_(((window + window.flip(2)) / 2).flatten(1, 2))
    y = run(module, tokens)[:, :, 1:].reshape(2, 5, *GRID, D)
    y_mirrored = run(module, mirrored)[:, :, 1:].reshape(2, 5, *GRID, D)
    torch.testing.assert_close(y_mirrored, y.flip(3), rtol=1e-4, atol=1e-5)


def test_bidirectional_is_a_forward_and_a_reversed_scan_added(randomise, tokens):
    both = randomise(make_module(bidirectional=True, use_variation=False, use_correlation=False))
    one = make_module(use_variation=False, use_correlation=False)
    updates = []
    for scanner, flip in ((both.scanner, False), (both.backward_scanner, True)):
        one.scanner.load_state_dict(scanner.state_dict())
        seen = tokens.flip(1) if flip else tokens
        update = run(one, seen) - seen
        updates.append(update.flip(1) if flip else update)
    torch.testing.assert_close(run(both, tokens), tokens + updates[0] + updates[1])


def test_literal_residual_adds_the_scanners_input_too(randomise, tokens):
    module = randomise(make_module(residual="single")).eval()
    single = run(module, tokens)
    grid = tokens[:, :, 1:].unflatten(2, GRID).permute(0, 1, 4, 2, 3)
    scanned = module.prior_encoder(grid).permute(0, 1, 3, 4, 2).flatten(2, 3)
    module.residual = "literal"
    literal = run(module, tokens)
    torch.testing.assert_close(literal[:, :, 0], tokens[:, :, 0])
    torch.testing.assert_close(literal[:, :, 1:], single[:, :, 1:] + scanned)


def test_literal_residual_doubles_the_patches_of_a_new_scanner_without_priors(tokens):
    module = make_module(residual="literal", use_variation=False, use_correlation=False)
    torch.testing.assert_close(run(module, tokens)[:, :, 1:], 2 * tokens[:, :, 1:])


@pytest.mark.parametrize("grid", [(1, 1), (1, 6), (4, 4)], ids=str)
@pytest.mark.parametrize("num_frames", [1, 3], ids=lambda T: f"T{T}")
def test_takes_one_frame_and_small_grids(randomise, draw, num_frames, grid):
    module = randomise(make_module(window_size=9))
    tokens = draw(2, num_frames, 1 + grid[0] * grid[1], D)
    assert run(module, tokens, grid).isfinite().all()
