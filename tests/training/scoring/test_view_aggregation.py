import pytest
import torch

from pks4_lightning.training.scoring.view_aggregation import score_videos


def batch(video_index, valid=None, label=None, failure=None):
    size = len(video_index)
    return {
        "video": torch.zeros(size, 3, 1, 2, 2),
        "label": torch.tensor(label or [10 + i for i in video_index]),
        "video_index": torch.tensor(video_index),
        "view_index": torch.arange(size),
        "valid": torch.tensor(valid or [True] * size),
        "draw_seed": torch.zeros(size, dtype=torch.long),
        "video_path": [f"{i}.webm" for i in video_index],
        "failure": failure or [""] * size,
    }


def logits(size, classes=4):
    return torch.randn(size, classes, generator=torch.Generator().manual_seed(0))


def test_scores_are_the_mean_softmax_of_a_videos_views():
    views = logits(5)
    videos = score_videos(views, batch([7, 7, 7, 2, 2]))
    soft = views.softmax(-1)
    assert videos.video_index.tolist() == [2, 7]
    torch.testing.assert_close(videos.scores[0], soft[3:].mean(0))
    torch.testing.assert_close(videos.scores[1], soft[:3].mean(0))
    assert videos.label.tolist() == [12, 17]
    assert videos.video_path == ["2.webm", "7.webm"]


def test_softmax_comes_before_the_mean():
    views = torch.tensor([[10.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
    videos = score_videos(views, batch([0, 0, 0]))
    assert views.mean(0).softmax(-1)[0] > 0.9
    assert videos.scores[0, 0] < 0.6


def test_fillers_are_left_out():
    views = logits(4)
    views[3] = torch.nan  # must not cost a video of the same number its result
    videos = score_videos(views, batch([3, 0, 0, 0], valid=[True, True, False, False]))
    assert videos.video_index.tolist() == [0, 3]


def test_a_batch_of_fillers_gives_no_video():
    videos = score_videos(logits(2), batch([0, 0], valid=[False, False]))
    assert len(videos.label) == len(videos.video_path) == 0
    assert videos.scores.shape == (0, 4)


def test_views_are_handed_on_with_their_numbers_and_their_video():
    views = logits(5)
    videos = score_videos(views, batch([7, 7, 7, 2, 2]))
    torch.testing.assert_close(videos.view_scores, views.softmax(-1))
    assert videos.view_index.tolist() == [0, 1, 2, 3, 4]
    assert videos.video_index[videos.video_of_view].tolist() == [7, 7, 7, 2, 2]


def test_a_failed_video_is_named_once_and_not_scored():
    failure = ["", "", "it ends", "it ends"]
    given = batch([3, 3, 5, 5], valid=[True, True, False, False], failure=failure)
    videos = score_videos(logits(4), given)
    assert videos.video_index.tolist() == [3]
    assert videos.failures == [("5.webm", "it ends")]


def test_half_precision_logits_are_averaged_in_float32():
    assert score_videos(logits(2).bfloat16(), batch([0, 0])).scores.dtype == torch.float32


def test_scores_are_the_same_under_autocast():
    views = 9 * logits(4)
    plain = score_videos(views, batch([3, 3, 5, 5]))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = score_videos(views, batch([3, 3, 5, 5]))
    assert torch.equal(mixed.scores, plain.scores)
    assert torch.equal(mixed.view_scores, plain.view_scores)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_video_with_logits_that_are_not_finite_is_named_and_not_scored(value):
    views = logits(5)
    views[1, 2] = value
    given = batch([3, 3, 5, 5, 7], valid=[True, True, True, True, False])
    videos = score_videos(views, given)
    assert videos.video_index.tolist() == [5]
    ((path, reason),) = videos.failures
    assert path == "3.webm"
    assert "scores of 3.webm are not finite" in reason
    assert "--trainer.precision" in reason
