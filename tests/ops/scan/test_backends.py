import logging
import sys
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import forward_ad
from torch.utils.flop_counter import FlopCounterMode

from pks4_lightning.ops import backend as module
from pks4_lightning.ops.backend import portable_ops, scan_backend
from pks4_lightning.ops.scan import mamba as scan_mamba
from pks4_lightning.ops.scan.naive import selective_scan_naive
from pks4_lightning.ops.scan.selective_scan import selective_scan
from tests.helpers.scan_inputs import assert_all_close, make_inputs, run

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _nothing_chosen_yet(monkeypatch):
    monkeypatch.delenv("PKS4_SCAN_BACKEND", raising=False)
    module._resolve.cache_clear()
    yield
    module._resolve.cache_clear()


def fused_inputs(num_steps=4, dtype=torch.float64):
    inputs = make_inputs(num_steps, dtype)
    draw = {"generator": torch.Generator().manual_seed(2), "dtype": dtype}
    delta_bias = torch.randn(inputs["D"].shape, **draw)
    return {**inputs, "delta_bias": delta_bias, "gate": torch.randn(inputs["u"].shape, **draw)}


@pytest.mark.parity
@pytest.mark.parametrize("absent", [[], ["delta_bias"], ["gate"], ["D", "delta_bias", "gate"]])
def test_bias_and_gate_equal_the_formula_forward_and_in_every_gradient(absent):
    inputs = {name: x for name, x in fused_inputs().items() if name not in absent}
    assert_all_close(run(selective_scan, inputs), run(selective_scan_naive, inputs))


def forward_derivative(function, inputs, name):
    """Return the derivative along ones for one input."""
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(inputs[name], torch.ones_like(inputs[name]))
        return forward_ad.unpack_dual(function(**{**inputs, name: dual}).sum()).tangent


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own use
@pytest.mark.parametrize("name", ["u", "delta", "A", "B", "C", "D", "delta_bias", "gate"])
def test_a_derivative_in_forward_mode_is_refused_or_right(name):
    inputs = fused_inputs()
    with pytest.raises(NotImplementedError, match=r"forward-mode derivative: .*=portable"):
        forward_derivative(selective_scan, inputs, name)
    with portable_ops():
        tangent = forward_derivative(selective_scan, inputs, name)
    further = {**inputs, name: inputs[name] + 1e-6}
    difference = (selective_scan(**further) - selective_scan(**inputs)).sum() / 1e-6
    torch.testing.assert_close(tangent, difference, rtol=1e-4, atol=1e-4)


@pytest.mark.parity
@pytest.mark.parametrize("absent", [[], ["delta_bias"], ["gate"], ["D", "delta_bias", "gate"]])
def test_the_portable_scan_equals_the_formula_and_its_gradients(absent):
    inputs = {name: x for name, x in fused_inputs().items() if name not in absent}
    with portable_ops():
        assert scan_backend(CPU) == "portable"
        assert_all_close(run(selective_scan, inputs), run(selective_scan_naive, inputs))
    assert scan_backend(CPU) == "torch"


def test_a_long_scan_is_not_written_out():
    with portable_ops(), pytest.raises(ValueError, match="this one has 300: at most 256"):
        selective_scan(**make_inputs(300))


def test_sequences_may_lie_on_several_axes():
    inputs = make_inputs(4, sizes=(6, 4, 5))
    clips = {n: x.unflatten(0, (2, 3)) if x.ndim == 3 else x for n, x in inputs.items()}
    y = selective_scan(**clips)
    torch.testing.assert_close(y.flatten(0, 1), selective_scan(**inputs))
    for number in range(2):
        clip = {n: x[number] if x.ndim == 4 else x for n, x in clips.items()}
        torch.testing.assert_close(y[number], selective_scan(**clip), rtol=0, atol=0)


def test_takes_and_returns_tokens_in_the_layout_of_a_vit():
    inputs = {n: x.float() for n, x in fused_inputs().items()}
    clips = {n: x.unsqueeze(0) if x.ndim == 3 else x for n, x in inputs.items()}
    wide = {n: torch.cat([x, x], -1) if x.ndim == 4 else x for n, x in clips.items()}

    def token_major(**wide):
        """Time before patches; every stream is one half of a projection."""
        halves = {
            n: x.transpose(1, 2).contiguous().chunk(2, -1)[0].transpose(1, 2) if x.ndim == 4 else x
            for n, x in wide.items()
        }
        y = selective_scan(**halves)
        assert y.transpose(1, 2).is_contiguous()
        return y

    halves = run(lambda **x: token_major(**x), wide)
    expected = run(lambda **x: selective_scan(**x), clips)
    for name, x in expected.items():
        got = halves[name]
        first = got[..., : x.shape[-1]] if name != "y" and x.ndim == 4 else got
        torch.testing.assert_close(first, x, msg=lambda m, n=name: f"{n}: {m}")


def test_a_small_step_survives_a_bfloat16_projection():
    ones = torch.ones(1, 1, 1, dtype=torch.bfloat16)
    bias = torch.tensor([-6.123])
    y = selective_scan(
        u=ones.float(), delta=ones, A=-ones[0].float(), B=ones, C=ones, delta_bias=bias
    )
    torch.testing.assert_close(y.flatten(), F.softplus(1 + bias))


def test_a_cpu_runs_the_plain_scan_and_logs_it_once(caplog):
    with caplog.at_level(logging.INFO, logger=module.__name__):
        assert scan_backend(CPU) == "torch"
        selective_scan(**make_inputs(2))
        selective_scan(**make_inputs(3))
    assert [record.getMessage() for record in caplog.records] == [
        "The selective scan uses the torch backend on cpu."
    ]


def test_a_gpu_runs_triton_where_it_imports_then_mamba_ssm_then_the_plain_scan(monkeypatch):
    gpu = torch.device("cuda")
    monkeypatch.setitem(sys.modules, "pks4_lightning.ops.triton_streams", None)  # import fails
    assert scan_backend(gpu) == "torch"
    module._resolve.cache_clear()
    monkeypatch.setattr(module, "_has_mamba_scan", lambda: True)
    assert scan_backend(gpu) == "mamba_ssm"
    module._resolve.cache_clear()
    monkeypatch.undo()
    pytest.importorskip("triton", reason="the triton package is not installed")
    assert scan_backend(gpu) == "triton"


def test_the_environment_decides_where_the_caller_does_not(monkeypatch):
    monkeypatch.setenv("PKS4_SCAN_BACKEND", "torch")
    assert scan_backend(torch.device("cuda")) == "torch"
    monkeypatch.setenv("PKS4_SCAN_BACKEND", "mamba_ssm")
    assert scan_backend(CPU, "torch") == "torch"
    with pytest.raises(ValueError, match="'mamba_ssm' cannot run here: cpu is not a GPU"):
        scan_backend(CPU)
    monkeypatch.setenv("PKS4_SCAN_BACKEND", "cuda")
    with pytest.raises(
        ValueError, match=r"'cuda' cannot run here: the backends are auto, torch, triton"
    ):
        selective_scan(**make_inputs(2))


@pytest.mark.parametrize("backend", ["triton", "mamba_ssm"])
def test_a_backend_that_cannot_run_is_refused_with_a_remedy(backend):
    pytest.importorskip("triton", reason="the triton package is not installed")
    with pytest.raises(ValueError, match=f"'{backend}' cannot run here: cpu is not a GPU.*'torch'"):
        selective_scan(**make_inputs(2), backend=backend)


def test_mamba_ssm_without_its_cuda_scan_is_not_available(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: name == "mamba_ssm")
    with pytest.raises(ValueError, match="mamba_ssm is not installed with its CUDA scan"):
        scan_backend(torch.device("cuda"), "mamba_ssm")


def test_flops_are_counted_as_the_paper_does():
    inputs = {name: x.requires_grad_() for name, x in make_inputs(7).items()}
    with FlopCounterMode(display=False) as counter:
        y = selective_scan(**inputs)
        forward = counter.get_total_flops()
        y.sum().backward()
    states = inputs["u"].numel() * inputs["A"].shape[1]
    assert forward == 9 * states
    assert counter.get_total_flops() == (9 + 27) * states


class Scan(torch.nn.Module):
    def forward(self, u, delta, A, B, C, D, delta_bias, gate):
        return selective_scan(u, delta, A, B, C, D, delta_bias=delta_bias, gate=gate)


def test_export_keeps_the_scan_as_one_operator():
    inputs = tuple(fused_inputs(dtype=torch.float32).values())
    program = torch.export.export(Scan(), inputs)
    calls = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert calls.count("pks4.selective_scan.default") == 1
    torch.testing.assert_close(program.module()(*inputs), Scan()(*inputs))


@pytest.fixture
def mamba_ssm(monkeypatch):
    """Stand-in for the package, using the formula; a list of the batch sizes it receives."""
    batches = []

    def selective_scan_fn(u, delta, A, B, C, D, z=None, delta_bias=None, delta_softplus=False):
        batches.append(u.shape[0])
        assert all(x.is_contiguous() for x in (u, delta, B, C))
        assert {x.dtype for x in (u, delta, B, C)} == {u.dtype}
        assert {x.dtype for x in (A, D)} == {torch.float32}
        if delta_bias is not None:
            delta = delta + delta_bias[:, None]
        step = F.softplus(delta) if delta_softplus else delta
        streams = (x.transpose(1, 2) for x in (u, step, B, C))
        u, step, B, C = streams
        y = selective_scan_naive(u, step, A, B, C, D).transpose(1, 2)
        return y if z is None else y * F.silu(z)

    interface = ModuleType("mamba_ssm.ops.selective_scan_interface")
    interface.selective_scan_fn = selective_scan_fn
    for name in ("mamba_ssm", "mamba_ssm.ops"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    return batches


def by_mamba(u, delta, A, B, C, D, delta_bias=None, gate=None):
    return scan_mamba.scan_by_mamba(u, delta, A, B, C, D, delta_bias, gate)


@pytest.mark.parametrize("absent", [[], ["delta_bias", "gate"]], ids=["fused", "plain"])
@pytest.mark.parametrize("slab", [1, 2, 100])
def test_mamba_ssm_gets_its_layout_in_slabs_that_do_not_overflow(
    mamba_ssm, monkeypatch, absent, slab
):
    inputs = fused_inputs(dtype=torch.float32)
    inputs = {name: x for name, x in inputs.items() if name not in absent}
    expected = run(selective_scan_naive, inputs)
    # splits four steps into two chunks
    monkeypatch.setattr(scan_mamba, "_STEPS_PER_CHUNK", 2)
    monkeypatch.setattr(scan_mamba, "_MAX_STATES", slab * 2 * inputs["A"].numel())
    assert_all_close(run(by_mamba, inputs), expected)
    assert max(mamba_ssm) == min(slab, inputs["u"].shape[0])
    assert sum(mamba_ssm) == inputs["u"].shape[0]


def test_mamba_ssm_keeps_a_float32_step_beside_bfloat16_streams(mamba_ssm):
    inputs = make_inputs(3, torch.float32)
    mixed = {n: x.bfloat16() if n in ("u", "B", "C") else x for n, x in inputs.items()}
    y = by_mamba(**mixed)
    assert y.dtype == torch.bfloat16
    exact = selective_scan_naive(**{name: x.float() for name, x in mixed.items()})
    torch.testing.assert_close(y, exact.bfloat16())


def test_mamba_ssm_refuses_float64(mamba_ssm):
    with pytest.raises(ValueError, match="does not support float64"):
        by_mamba(**make_inputs(2))


@pytest.mark.gpu
@pytest.mark.parity
def test_every_backend_of_a_gpu_gives_the_same():
    if not torch.cuda.is_available():
        pytest.skip("no NVIDIA GPU")
    inputs = {name: x.cuda() for name, x in fused_inputs(9, torch.float32).items()}
    expected = run(lambda **x: selective_scan(**x, backend="torch"), inputs)
    for backend in ("triton", "mamba_ssm"):
        if not module._obstacle("cuda", backend):
            ours = run(lambda b=backend, **x: selective_scan(**x, backend=b), inputs)
            assert_all_close(ours, expected, rtol=1e-4, atol=1e-5)
