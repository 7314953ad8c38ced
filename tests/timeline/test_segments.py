import csv
import io
import json
import math
from itertools import pairwise

import numpy as np
import pytest

from pks4_lightning.timeline.formats import Labelled, write_segments
from pks4_lightning.timeline.segments import find_moments, find_segments

SPANS = [(float(n), n + 2.0) for n in range(6)]
SEGMENTS = [Labelled("a, b.mp4", 0.0, 3661.0505, "left --> right", 0.987654)]


def scores(*of_the_first):
    return np.array([[p, 1 - p] for p in of_the_first])


def test_a_moment_is_the_mean_of_the_windows_that_show_it():
    # each moment is equally far from the centres of its two windows
    moments = find_moments(SPANS, scores(0.9, 0.8, 0.7, 0.1, 0.1, 0.3))
    assert moments.edges.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert moments.scores[:, 0] == pytest.approx([0.9, 0.85, 0.75, 0.4, 0.1, 0.2, 0.3])
    assert moments.at(2.0)[0] == moments.at(2.9)[0] == moments.scores[2, 0]
    assert moments.at(99.0)[0] == moments.scores[-1, 0]


@pytest.mark.parametrize(("window", "stride"), [(2.0, 0.7), (2.0, 2.0), (0.5, 0.1), (1.0, 3.0)])
def test_the_nearer_a_windows_centre_the_more_it_counts(window, stride):
    rng = np.random.default_rng(0)
    spans = [(k * stride, k * stride + window) for k in range(30)]
    spans[-1] = (
        spans[-1][0],
        max(spans[-2][1], spans[-1][0]) + 0.3 * stride,
    )  # the last window ends with the video
    rows = rng.dirichlet(np.ones(4), 30)
    moments = find_moments(spans, rows)
    for start, end, found in zip(moments.edges, moments.edges[1:], moments.scores, strict=False):
        middle = (start + end) / 2
        total, weight = np.zeros(4), 0.0
        for (a, b), row in zip(spans, rows, strict=True):
            if a <= middle < b:
                share = 0.5 + 0.5 * np.cos(2 * np.pi * (middle - (a + b) / 2) / (b - a))
                total, weight = total + share * row, weight + share
        expected = total / weight if weight else rows[int(middle // stride)]
        assert found == pytest.approx(expected)


def test_a_window_across_a_cut_is_outvoted():
    third = np.eye(3)[[0, 0, 2, 1, 1]]
    spans = [(float(n), n + 2.0) for n in range(5)]
    found = find_segments(find_moments(spans, third))
    assert [(s.start, s.end, s.label) for s in found] == [(0.0, 3.0, 0), (3.0, 6.0, 1)]
    assert found[0].score == pytest.approx((1 + 1 + 0.5) / 3)


def test_two_classes_that_are_close_do_not_alternate():
    apart = [(float(n), n + 1.0) for n in range(6)]
    nearly = find_moments(apart, scores(0.9, 0.48, 0.51, 0.46, 0.9, 0.9))
    assert [s.label for s in find_segments(nearly)] == [0]
    assert [s.label for s in find_segments(nearly, margin=0.0)] == [0, 1, 0, 1, 0]


def test_segments_have_no_gaps():
    rng = np.random.default_rng(0)
    spans = [(0.7 * n, 0.7 * n + 2.0) for n in range(40)]
    found = find_segments(find_moments(spans, rng.dirichlet(np.ones(5), 40)), margin=0.02)
    assert len(found) > 3
    assert found[0].start == spans[0][0]
    assert found[-1].end == spans[-1][1]
    assert all(a.end == b.start and a.label != b.label for a, b in pairwise(found))


def test_gaps_between_and_after_windows_belong_to_the_window_before_them():
    moments = find_moments([(0.0, 1.0), (3.0, 4.0)], scores(0.9, 0.1), duration=5.0)
    found = find_segments(moments)
    assert [(s.start, s.end, s.label) for s in found] == [(0.0, 3.0, 0), (3.0, 5.0, 1)]
    assert [s.score for s in found] == pytest.approx([0.9, 0.9])
    assert find_moments(SPANS, scores(*[0.5] * 6), duration=7.0 + 1e-9).edges[-1] == 7.0


def test_a_negative_margin_is_refused():
    for margin in (-1.0, math.nan):
        with pytest.raises(ValueError, match=f"^margin is {margin}; it must be at least 0"):
            find_segments(find_moments(SPANS, scores(*[0.5] * 6)), margin=margin)


def test_tables_and_json_give_times_back():
    (row,) = csv.DictReader(io.StringIO(write_segments(SEGMENTS, "csv")))
    assert row["video"] == "a, b.mp4"
    assert float(row["end"]) == 3661.05
    assert json.loads(write_segments(SEGMENTS, "json"))[0]["score"] == 0.9877
    assert json.loads(write_segments(SEGMENTS, "jsonl"))["label"] == "left --> right"


def test_subtitles_have_clocks_and_no_arrows_of_their_own():
    srt, vtt = write_segments(SEGMENTS, "srt"), write_segments(SEGMENTS, "vtt")
    assert srt.splitlines()[:3] == ["1", "00:00:00,000 --> 01:01:01,050", "left → right (99%)"]
    assert vtt.splitlines()[0] == "WEBVTT"
    assert "00:00:00.000 --> 01:01:01.050" in vtt


def test_labels_in_subtitles_are_text_not_markup():
    segments = [Labelled("a.mp4", 0.0, 1.0, "<b>cut & paste</b>", 0.5)]
    assert "\n&lt;b&gt;cut &amp; paste&lt;/b&gt; (50%)\n" in write_segments(segments, "vtt")
    assert "\n<b>cut & paste</b> (50%)\n" in write_segments(segments, "srt")
