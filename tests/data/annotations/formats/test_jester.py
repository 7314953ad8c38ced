"""Jester, in the layout of its archives; flips swap the labels of mirrored gestures."""

from pks4_lightning.data.annotations.layout import DataLayout
from pks4_lightning.data.clips.mirrored_labels import flipped_labels

# from jester-v1-labels.csv
GESTURES = """Doing other things
Drumming Fingers
No gesture
Pulling Hand In
Pulling Two Fingers In
Pushing Hand Away
Pushing Two Fingers Away
Rolling Hand Backward
Rolling Hand Forward
Shaking Hand
Sliding Two Fingers Down
Sliding Two Fingers Left
Sliding Two Fingers Right
Sliding Two Fingers Up
Stop Sign
Swiping Down
Swiping Left
Swiping Right
Swiping Up
Thumb Down
Thumb Up
Turning Hand Clockwise
Turning Hand Counterclockwise
Zooming In With Full Hand
Zooming In With Two Fingers
Zooming Out With Full Hand
Zooming Out With Two Fingers
"""


def test_needs_the_root_alone(tmp_path):
    lists = {
        "train": "34870;Drumming Fingers\n56557;Sliding Two Fingers Right\n",
        "validation": "9223;Thumb Up\n",
        "test": "3\n",
        "labels": GESTURES,
    }
    for name, content in lists.items():
        (tmp_path / f"jester-v1-{name}.csv").write_text(content)
    for video in ("34870", "56557", "9223"):
        (tmp_path / "20bn-jester-v1" / video).mkdir(parents=True)
    layout = DataLayout(str(tmp_path))
    assert layout.read("train").labels == (1, 12)
    assert layout.read("train").folder == str(tmp_path / "20bn-jester-v1")
    assert layout.read("test").labels == (20,)
    assert len(layout.label_names()) == 27


def test_mirrored_gestures_swap_their_labels():
    mirrored = flipped_labels(GESTURES.splitlines(), None)
    swapped = {(index, other) for index, other in enumerate(mirrored) if index < other}
    assert swapped == {(11, 12), (16, 17), (21, 22)}
    assert -1 not in mirrored
