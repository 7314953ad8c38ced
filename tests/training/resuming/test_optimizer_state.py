"""Parameters keep their state in other groups, whatever the order."""

import pytest
import torch

from pks4_lightning.training.resuming.optimizer_state import regrouped

NAMES = ("a", "b", "c")


def optimizer(*groups):
    """An AdamW whose groups have these parameters, each of a size of its own."""
    sizes = {name: index + 1 for index, name in enumerate((*NAMES, "new"))}
    return torch.optim.AdamW(
        [
            {
                "params": [torch.nn.Parameter(torch.zeros(sizes[name])) for name in names],
                "param_names": list(names),
                "lr": rate,
            }
            for rate, names in enumerate(groups, 1)
        ]
    )


@pytest.fixture
def saved():
    used = optimizer("ab", "c")
    for group in used.param_groups:
        for number, parameter in enumerate(group["params"]):
            parameter.grad = torch.full_like(parameter, group["lr"] + number)
    used.step()
    return used.state_dict()


def test_state_follows_the_names(saved):
    later = optimizer(("c", "new"), ("a",))
    later.load_state_dict(regrouped(saved, later.param_groups))
    (c, new), (a,) = (group["params"] for group in later.param_groups)
    assert [group["lr"] for group in later.param_groups] == [1, 2]
    torch.testing.assert_close(later.state[c]["exp_avg"], torch.full((3,), 0.2))
    torch.testing.assert_close(later.state[a]["exp_avg"], torch.full((1,), 0.1))
    assert set(later.state) == {a, c}
    new.grad = torch.ones_like(new)
    later.step()


def test_without_names_equal_groups_are_taken_as_they_are_and_others_refused(saved):
    for group in saved["param_groups"]:
        del group["param_names"]
    assert regrouped(saved, optimizer("ab", "c").param_groups) is saved
    with pytest.raises(ValueError, match=r"restore recipe\.trains"):
        regrouped(saved, optimizer("a", "bc").param_groups)
