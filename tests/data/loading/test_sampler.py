from collections import Counter

import pytest
import torch

from pks4_lightning.data.loading.sampler import VideoRequest, VideoSampler
from pks4_lightning.data.seeding import stable_seed

COUNTS = [1, 2, 7, 60, 61, 127]
WORLDS = [1, 2, 3]


def requests(num_videos, *, epoch=0, world_size=1, **options):
    ranks = []
    for rank in range(world_size):
        sampler = VideoSampler(num_videos, rank=rank, world_size=world_size, **options)
        sampler.set_epoch(epoch)
        ranks.append(list(sampler))
        assert len(sampler) == len(ranks[-1])
    return ranks


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("world_size", WORLDS)
@pytest.mark.parametrize("num_videos", COUNTS)
def test_every_video_comes_exactly_once_per_epoch(num_videos, world_size, shuffle):
    for epoch in range(3):
        ranks = requests(num_videos, epoch=epoch, world_size=world_size, shuffle=shuffle)
        seen = [r.video_index for rank in ranks for r in rank if r.valid]
        assert sorted(seen) == list(range(num_videos))
        assert len({len(rank) for rank in ranks}) == 1
        assert sum(not r.valid for rank in ranks for r in rank) < world_size


@pytest.mark.parametrize("world_size", WORLDS)
@pytest.mark.parametrize("num_videos", COUNTS)
def test_dropping_leaves_only_valid_requests_on_equal_ranks(num_videos, world_size):
    ranks = requests(num_videos, world_size=world_size, shuffle=True, uneven="drop")
    seen = [r.video_index for rank in ranks for r in rank if r.valid]
    assert len(set(seen)) == len(seen)
    assert len({len(rank) for rank in ranks}) == 1
    if num_videos >= world_size:
        assert all(r.valid for rank in ranks for r in rank)
        assert num_videos - len(seen) < world_size
    else:
        assert len(seen) == num_videos


def test_a_step_holds_the_same_videos_however_many_ranks_share_it():
    (alone,) = requests(64, shuffle=True)
    one, other = requests(64, shuffle=True, world_size=2)
    for step in range(8):
        together = one[4 * step : 4 * step + 4] + other[4 * step : 4 * step + 4]
        assert sorted(together) == sorted(alone[8 * step : 8 * step + 8])


def test_the_order_is_a_function_of_seed_and_epoch():
    orders = {
        (seed, epoch): tuple(requests(50, seed=seed, epoch=epoch, shuffle=True)[0])
        for seed in range(2)
        for epoch in range(3)
    }
    again = requests(50, seed=1, epoch=2, shuffle=True)[0]
    assert tuple(again) == orders[1, 2]
    without_epoch = {tuple(r.video_index for r in order) for order in orders.values()}
    assert len(without_epoch) == 6


def test_without_shuffling_every_epoch_is_the_same():
    assert requests(5, epoch=3) == requests(5, epoch=0)


def test_the_global_generator_is_left_alone():
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    requests(50, shuffle=True)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_repeats_of_a_video_follow_each_other():
    (order,) = requests(5, num_repeats=3, shuffle=True, epoch=4)
    for first in range(0, 15, 3):
        group = order[first : first + 3]
        assert len({request.video_index for request in group}) == 1
        assert [request.repeat for request in group] == [0, 1, 2]
    assert {request.epoch for request in order} == {4}


def test_fillers_are_marked():
    assert requests(1, world_size=2)[1] == [VideoRequest(0, 0, 0, valid=False)]


def test_nothing_to_sample_from_is_an_error():
    with pytest.raises(ValueError, match="num_videos is 0"):
        VideoSampler(0)


def test_seeds_are_stable_and_tell_their_parts_apart():
    # a recorded value: seeds must not change between versions of Python
    assert stable_seed("clip", 0, 1, 2, 3) == 1111224518963374398
    assert stable_seed(1, 23) != stable_seed(12, 3)
    assert stable_seed("1") != stable_seed(1)
    assert all(0 <= stable_seed(i) < 2**63 for i in range(100))


@pytest.mark.parametrize("world_size", WORLDS)
@pytest.mark.parametrize("num_repeats", [1, 2])
@pytest.mark.parametrize("uneven", ["pad", "drop"])
def test_a_resumed_epoch_goes_on_with_the_right_request(world_size, num_repeats, uneven):
    options = {"shuffle": True, "num_repeats": num_repeats, "uneven": uneven, "seed": 3}
    whole = requests(13, epoch=2, world_size=world_size, **options)
    after = requests(13, epoch=3, world_size=world_size, **options)
    for rank in range(world_size):
        for position in range(0, len(whole[rank]) + 1, num_repeats):
            first = VideoSampler(13, rank=rank, world_size=world_size, **options)
            first.set_epoch(2)
            state = first.state_dict(position=position)
            resumed = VideoSampler(13, rank=rank, world_size=world_size, **options)
            resumed.load_state_dict(state)
            resumed.set_epoch(2)  # the trainer calls this before every epoch
            assert list(resumed) == whole[rank][position:]
            assert list(resumed) == whole[rank]
            resumed.set_epoch(3)
            assert list(resumed) == after[rank]


def test_an_epoch_may_be_resumed_by_another_number_of_ranks():
    two = requests(64, shuffle=True, world_size=2, epoch=1)
    first = VideoSampler(64, shuffle=True, world_size=2)
    first.set_epoch(1)
    state = first.state_dict(position=10)
    rest = []
    for rank in range(4):
        sampler = VideoSampler(64, shuffle=True, rank=rank, world_size=4)
        sampler.load_state_dict(state)
        rest += list(sampler)
    assert sorted(rest) == sorted(two[0][10:] + two[1][10:])
    with pytest.raises(ValueError, match=r"20 videos of the epoch .* cannot .* 3 ranks"):
        VideoSampler(64, world_size=3).load_state_dict(state)


@pytest.mark.parametrize("position", [-2, 3, 28])
def test_a_position_within_a_video_or_beyond_the_epoch_is_refused(position):
    with pytest.raises(ValueError, match=rf"position is {position}; .* num_repeats"):
        VideoSampler(13, num_repeats=2).state_dict(position=position)


LABELS = [0] * 40 + [1] * 8 + [2] * 3 + [5]


@pytest.mark.parametrize("world_size", WORLDS)
def test_balanced_classes_come_equally_often(world_size):
    for epoch in range(2):
        ranks = requests(
            len(LABELS), epoch=epoch, world_size=world_size, shuffle=True, balanced_labels=LABELS
        )
        seen = [r.video_index for rank in ranks for r in rank if r.valid]
        assert Counter(LABELS[index] for index in seen) == {0: 13, 1: 13, 2: 13, 5: 13}
        for label in (0, 1, 2):  # the videos of a class are used in turn
            times = [seen.count(index) for index, own in enumerate(LABELS) if own == label]
            assert max(times) - min(times) <= 1


def test_classes_that_cannot_share_an_epoch_evenly_take_turns_at_it():
    labels = [0, 0, 0, 1, 2]
    counts = [
        Counter(
            labels[r.video_index]
            for r in requests(5, epoch=e, shuffle=True, balanced_labels=labels)[0]
        )
        for e in range(12)
    ]
    assert all(sorted(count.values()) == [1, 2, 2] for count in counts)
    assert {min(count, key=count.get) for count in counts} == {0, 1, 2}


def test_a_repeated_video_in_an_epoch_has_other_draws():
    ranks = requests(len(LABELS), world_size=2, shuffle=True, balanced_labels=LABELS, num_repeats=2)
    drawn = [(r.video_index, r.repeat) for rank in ranks for r in rank]
    assert len(set(drawn)) == len(drawn) == 2 * len(LABELS)


def test_repeats_share_the_frames_of_the_first_of_them():
    (alone,) = requests(
        len(LABELS), shuffle=True, balanced_labels=LABELS, num_repeats=2, share_frames=True
    )
    assert all(r.frames_of == r.repeat // 2 * 2 for r in alone)
    assert {r.repeat for r in alone} > {0, 1, 2, 3}
    assert all(r.frames_of is None for r in requests(5, num_repeats=2)[0])


def test_a_balanced_epoch_goes_on_where_it_was_left():
    sampler = VideoSampler(len(LABELS), shuffle=True, balanced_labels=LABELS, num_repeats=2)
    sampler.set_epoch(3)
    whole = list(sampler)
    again = VideoSampler(len(LABELS), shuffle=True, balanced_labels=LABELS, num_repeats=2)
    again.load_state_dict(sampler.state_dict(position=10))
    assert list(again) == whole[10:]
