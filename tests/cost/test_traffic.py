"""Counts against sums made by hand; float32, so 4 bytes a number."""

import doctest

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from pks4_lightning.cost import traffic
from pks4_lightning.cost.traffic import Traffic, count_traffic
from pks4_lightning.insertion import ClipLayout
from pks4_lightning.models.pks4 import PKS4Module

AB, BC = 2 * 3, 3 * 5


def bytes_of(numbers, *, copied=True):
    return Traffic(4 * numbers, 4 * numbers * copied)


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (lambda x, y: x @ y, bytes_of(AB + BC + 2 * 5, copied=False)),
        (lambda x, y: torch.mm(x, y, out=x.new_empty(2, 5)), bytes_of(AB + BC + 10, copied=False)),
        (lambda x, _: x + 1, bytes_of(AB + AB, copied=False)),
        (lambda x, _: x.add_(1), bytes_of(AB + AB, copied=False)),
        (lambda x, y: x.addcmul_(y[:, 0], y[:, 1]), bytes_of(AB + 3 + 3 + AB, copied=False)),
        (lambda x, _: x.zero_(), bytes_of(AB, copied=False)),
        (lambda x, _: x.new_zeros(7), bytes_of(AB + 7, copied=False)),
        (lambda x, _: x.sum(), bytes_of(AB + 1, copied=False)),
        (lambda x, _: x.clone(), bytes_of(AB + AB)),
        (lambda x, _: x.t().contiguous(), bytes_of(AB + AB)),
        (lambda x, _: x.contiguous(), bytes_of(0)),
        (lambda x, _: x.t().unfold(0, 2, 1)[1:].unsqueeze(0), bytes_of(0)),
        (lambda x, _: x.new_empty(100), bytes_of(0)),
        (lambda x, y: torch.cat([x, y.t()[:4]]), bytes_of(2 * (AB + 12))),
        (lambda x, _: torch.stack([x[0], x[1], x[0]]), bytes_of(9 + 9)),
        (lambda x, _: torch.nn.functional.pad(x, (1, 1)), bytes_of(AB + 2 * 5)),
        (lambda x, y: x.copy_(y[:, 0]), bytes_of(3 + AB)),
        (lambda x, _: x[0].expand(2, 3).clone(), bytes_of(3 + AB)),
        (lambda x, _: x.to(torch.bfloat16), Traffic(AB * (4 + 2), AB * (4 + 2))),
        (lambda x, _: x.to(torch.bfloat16) + 1, Traffic(AB * (4 + 2) + AB * 4, AB * (4 + 2))),
    ],
)
@pytest.mark.parametrize("fake", [False, True], ids=["real", "fake"])
def test_counts_what_an_operator_reads_and_writes(work, expected, fake):
    with FakeTensorMode(allow_non_fake_inputs=True) if fake else torch.no_grad():
        x, y = torch.ones(2, 3), torch.ones(3, 5)
        assert count_traffic(lambda: work(x, y)) == expected


def test_counts_the_backward_pass():
    x = torch.ones(4, 3, requires_grad=True)

    def forward_and_backward():
        y = x[:2].clone()  # 6 read, 6 written
        y.backward(torch.ones(2, 3))  # 6 written; the slice's gradient: 6 read, 12 written

    assert count_traffic(forward_and_backward) == Traffic(4 * (12 + 6 + 18), 4 * (12 + 18))


def test_a_module_moves_as_much_without_content():
    def moved():
        module = PKS4Module(6, d_prior=4, window_size=3, d_state=4)
        tokens = torch.ones(4, 7, 6, requires_grad=True)
        layout = ClipLayout(num_frames=4, grid_size=(2, 3))
        return count_traffic(lambda: module(tokens, layout).sum().backward())

    real = moved()
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert moved() == real
    assert 0 < real.copied < real.touched


def test_the_example_in_the_docstring_is_true():
    result = doctest.testmod(traffic)
    assert result.attempted > 0
    assert result.failed == 0
