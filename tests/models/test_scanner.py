import math

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import MambaConfig
from transformers.models.mamba.modeling_mamba import MambaMixer

from pks4_lightning.models.scanner import KS4Scanner

D = 16


def scan(scanner, x):
    """Scan sequences: S T D."""
    return scanner(x.unsqueeze(2)).squeeze(2)


@pytest.fixture
def scanner(randomise):
    return randomise(KS4Scanner(D, d_state=4))


@pytest.mark.parity
@pytest.mark.parametrize("num_frames", [1, 3, 8], ids=lambda T: f"T{T}")
def test_equals_transformers_mamba_mixer_forward_and_in_every_gradient(randomise, draw, num_frames):
    ours = randomise(KS4Scanner(D, d_state=4, d_conv=3, dt_rank=5))
    config = MambaConfig(
        hidden_size=D, state_size=4, conv_kernel=3, time_step_rank=5, num_hidden_layers=1
    )
    theirs = MambaMixer(config, layer_idx=0).eval()
    shared = {k: v for k, v in ours.state_dict().items() if not k.startswith("norm.")}
    theirs.load_state_dict(shared)

    x = draw(6, num_frames, D)
    x_ours, x_theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    y_ours = scan(ours, x_ours)
    y_theirs = theirs(F.layer_norm(x_theirs, (D,), ours.norm.weight, ours.norm.bias))
    torch.testing.assert_close(y_ours, y_theirs)
    cotangent = draw(*x.shape, seed=1)
    y_ours.backward(cotangent)
    y_theirs.backward(cotangent)
    torch.testing.assert_close(x_ours.grad, x_theirs.grad, rtol=1e-4, atol=1e-5)
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(
            ours.get_parameter(name).grad, parameter.grad, rtol=1e-4, atol=1e-5
        )


def test_has_the_papers_number_of_parameters():
    with torch.device("meta"):
        scanner = KS4Scanner(768)
    assert sum(parameter.numel() for parameter in scanner.parameters()) == 3_772_416


def test_a_new_scanner_returns_zero_and_can_learn(draw):
    scanner = KS4Scanner(D)
    y = scan(scanner, draw(3, 4, D))
    assert (y == 0).all()
    y.sum().backward()
    assert scanner.out_proj.weight.grad.abs().sum() > 0


def test_starts_as_mamba_does():
    scanner = KS4Scanner(64, d_state=5)
    torch.testing.assert_close(
        scanner.A_log.exp(), torch.arange(1.0, 6.0).expand(128, 5), rtol=1e-6, atol=0
    )
    assert (scanner.D == 1).all()
    step = F.softplus(scanner.dt_proj.bias)
    assert 0.001 * 0.999 <= step.min() < 0.003
    assert 0.03 < step.max() <= 0.1 * 1.001
    # log-uniform: half of the step sizes are below the geometric mean
    assert 0.3 < (step < math.sqrt(0.001 * 0.1)).float().mean() < 0.7


def test_is_causal(scanner, draw):
    x = draw(3, 8, D)
    y = scan(scanner, x)
    x[:, 5:] += draw(3, 3, D, seed=1)
    changed = scan(scanner, x)
    torch.testing.assert_close(changed[:, :5], y[:, :5], rtol=0, atol=0)
    assert not torch.equal(changed[:, 5:], y[:, 5:])


def test_sequences_do_not_mix(scanner, draw):
    x = draw(4, 5, D)
    y = scan(scanner, x)
    x[2] += 1.0 * draw(5, D, seed=1)
    changed = scan(scanner, x)
    others = [0, 1, 3]
    torch.testing.assert_close(changed[others], y[others], rtol=0, atol=0)
    assert not torch.equal(changed[2], y[2])


def test_patches_of_a_clip_are_scanned_as_sequences_where_they_lie(scanner, draw):
    clips = draw(2, 5, 3, D)
    sequences = clips.transpose(1, 2).flatten(0, 1)
    expected = scan(scanner, sequences).unflatten(0, (2, 3)).transpose(1, 2)
    torch.testing.assert_close(scanner(clips), expected)


class _Copies(TorchDispatchMode):
    """Record the sizes of copied streams."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func in {torch.ops.aten.clone.default, torch.ops.aten.contiguous.default}:
            self.sizes.append(tuple(result.shape))
        return result


def test_no_stream_is_transposed_in_memory(scanner, draw):
    clips = draw(2, 5, 3, D).requires_grad_()
    with _Copies() as copies:
        scanner(clips).sum().backward()
    width = {D, 2 * D, 4 * D}
    assert [size for size in copies.sizes if len(size) > 2 and size[-1] in width] == []


def test_norm_stays_in_float32_under_autocast(scanner, draw):
    dtypes = {}
    scanner.norm.register_forward_hook(lambda _, _args, y: dtypes.update(norm=y.dtype))
    scanner.in_proj.register_forward_hook(lambda _, _args, y: dtypes.update(in_proj=y.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        scan(scanner, draw(2, 3, D))
    assert dtypes == {"norm": torch.float32, "in_proj": torch.bfloat16}


def test_autocast_stays_near_float32_and_keeps_the_parameters(scanner, draw):
    x = draw(4, 16, D)
    exact = scan(scanner, x)
    with torch.autocast("cpu", torch.bfloat16):
        y = scan(scanner, x)
    y.float().sum().backward()
    assert (y - exact).norm() < 0.02 * exact.norm()
    for name, parameter in scanner.named_parameters():
        assert parameter.dtype == parameter.grad.dtype == torch.float32, name


def test_runs_in_float64(randomise, draw):
    scanner = randomise(KS4Scanner(D).double())
    x = draw(2, 5, D, dtype=torch.float64)
    y = scan(scanner, x)
    assert y.dtype == torch.float64
    assert (scan(scanner.float(), x.float()).double() - y).abs().max() < 1e-4
