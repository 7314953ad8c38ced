import logging

import pytest

from pks4_lightning.data.clips.mirrored_labels import flipped_labels, reversed_labels

SSV2_PAIRS = [
    "Pulling something from left to right",
    "Pulling something from right to left",
    "Pushing something from left to right",
    "Pushing something from right to left",
    "Turning the camera left while filming something",
    "Turning the camera right while filming something",
]


def test_flips_swap_the_labels_of_mirrored_classes():
    names = ["Holding something", *SSV2_PAIRS]
    assert flipped_labels(names, None) == (0, 2, 1, 4, 3, 6, 5)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["turning_clockwise", "turning_anticlockwise"], (1, 0)),
        (["Turning clockwise", "Turning counter-clockwise"], (1, 0)),
        (["moving left", "moving right", "copyright", "leftovers"], (1, 0, 2, 3)),
        (["left-hand wave", "right-hand wave"], (1, 0)),
        (
            ["turnLeft", "turnRight", "BrightLight", "SpinCounterClockwise", "SpinClockwise"],
            (1, 0, 2, 4, 3),
        ),
        (
            ["moving leftwards", "Moving_Rightwards", "sliding rightward", "sliding leftward"],
            (1, 0, 3, 2),
        ),
    ],
)
def test_mirrored_classes_are_found_by_name(names, expected):
    assert flipped_labels(names, None) == expected


def test_a_class_without_its_counterpart_is_never_flipped(caplog):
    with caplog.at_level(logging.WARNING):
        assert flipped_labels(["waving left", "nodding"], None) == (-1, 1)
    assert "'waving left'" in caplog.text


def test_named_pairs_replace_the_search():
    names = ["a", "b", "c", "move left"]
    assert flipped_labels(names, [("a", "c")]) == (2, 1, 0, 3)
    assert flipped_labels(names, [("A", 2)]) == (2, 1, 0, 3)
    assert flipped_labels(SSV2_PAIRS, []) == (0, 1, 2, 3, 4, 5)
    assert flipped_labels(SSV2_PAIRS, [(0, 1), (5, 4)]) == (1, 0, 2, 3, 5, 4)
    assert flipped_labels(["0", "1", "2"], [(0, 2)]) == (2, 1, 0), "nothing to check by"


@pytest.mark.parametrize(
    ("names", "pairs", "message"),
    [
        (["a", "b"], [(0, 9)], r"contains 9; the classes are 0 to 1"),
        (["a", "b"], [(-1, 1)], r"contains -1; the classes are 0 to 1"),
        (
            SSV2_PAIRS,
            [(0, 2)],
            rf"contains \[0, 2\], which here are '{SSV2_PAIRS[0]}' and .* do not mirror",
        ),
        (["a", "b"], [(0, 1)], r"'a' and 'b' and do not mirror each other; leave it out"),
        (["Holding", *SSV2_PAIRS], [(0, 1), (2, 3)], r"\[0, 1\].*do not mirror"),
        (
            SSV2_PAIRS,
            [(0, 1), (1, 0)],
            r"contains \[1, 0\], one class of which is already in another pair",
        ),
        (["waving left", "b"], [("waving lefts", "b")], r"names 'waving lefts'.*is 'waving left'"),
        (["waving left", "b"], [("xyz", "b")], r"names 'xyz', which is not among the 2 classes\."),
    ],
)
def test_pairs_that_are_of_another_list_are_refused(names, pairs, message):
    with pytest.raises(ValueError, match=message):
        flipped_labels(names, pairs)


def test_only_paired_classes_are_played_backwards():
    names = ["left", "right", "circle", "tick"]
    pairs = [("left", "right"), (2, 2)]
    assert reversed_labels(names, pairs) == (1, 0, 2, -1)
    assert reversed_labels(names, None) == (-1, -1, -1, -1)
    with pytest.raises(ValueError, match=r"reverse_label_pairs names 'lift'.*closest is 'left'"):
        reversed_labels(names, [("lift", "right")])
    with pytest.raises(
        ValueError, match=r"reverse_label_pairs contains \[2, 0\], one class of which"
    ):
        reversed_labels(names, [(0, 1), (2, 0)])
