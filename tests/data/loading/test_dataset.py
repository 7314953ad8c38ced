import pytest
import torch

from pks4_lightning.data.annotations.reading import VideoList
from pks4_lightning.data.clips.sampling import CentredSegmentClipSampler, RandomSegmentClipSampler
from pks4_lightning.data.clips.transforms import Augmentation
from pks4_lightning.data.loading.dataset import VideoDataset, join_views
from pks4_lightning.data.loading.sampler import VideoRequest
from pks4_lightning.data.seeding import stable_seed
from pks4_lightning.data.video.video import Video


@pytest.fixture(scope="module")
def videos(tmp_path_factory, write_video):
    """Three videos of 40, 16 and 3 frames, 96 × 64 pixels."""
    folder = tmp_path_factory.mktemp("videos")
    for name, num_frames in (("a.mp4", 40), ("b.webm", 16), ("c.mp4", 3)):
        write_video(folder / name, num_frames)
    return VideoList("list", str(folder), ("a.mp4", "b.webm", "c.mp4"), (0, 1, 2))


def make(videos, *, sampler=None, **options):
    settings = {"num_frames": 4, "frame_size": 64, "resize": 64, **options}
    sampler = sampler or CentredSegmentClipSampler(settings["num_frames"])
    return VideoDataset(videos, clip_sampler=sampler, **settings)


def test_validation_clips_hold_the_middle_frames(videos, read_numbers):
    dataset = make(videos)
    assert len(dataset) == 3
    for index, numbers in ((0, [5, 15, 25, 35]), (1, [2, 6, 10, 14]), (2, [0, 1, 1, 2])):
        batch = dataset[index]
        assert read_numbers(batch["video"][0]) == numbers
        assert batch["video"].shape == (1, 3, 4, 64, 64)
        assert batch["video"].dtype == torch.uint8
        assert batch["label"].tolist() == [index]
        assert batch["video_index"].tolist() == [index]
        assert batch["valid"].tolist() == [True]
        assert batch["video_path"] == [videos.path(index)]


def test_videos_shorter_than_a_clip_are_mentioned_once(videos, caplog):
    dataset = make(videos, sampler=CentredSegmentClipSampler(20), num_frames=20)
    for index in (0, 1, 2, 1):
        assert dataset[index]["video"].shape[2] == 20
    (message,) = caplog.messages
    assert "b.webm' has 16 frames, fewer than the 20 of a clip: its frames are repeated" in message


def test_all_views_of_a_video_come_together(videos, read_numbers):
    sampler = CentredSegmentClipSampler(4, num_clips=2, num_crops=3)
    batch = make(videos, sampler=sampler, frame_size=48)[0]
    assert batch["view_index"].tolist() == [0, 1, 2, 3, 4, 5]
    assert batch["video_index"].tolist() == [0] * 6
    assert len(set(batch["draw_seed"].tolist())) == 6
    first = make(videos, sampler=sampler)[0]["video"]
    assert read_numbers(first[0]) == [3, 13, 23, 33]
    assert read_numbers(first[3]) == [6, 16, 26, 36]


def test_crops_are_left_centre_right_of_the_resized_frame(videos):
    clips = make(videos, sampler=CentredSegmentClipSampler(4, num_crops=3))[0]["video"]
    centre = make(videos)[0]["video"][0]
    assert torch.equal(clips[1], centre)
    assert torch.equal(clips[0][..., 16:], centre[..., :48])
    assert torch.equal(clips[2][..., :48], centre[..., 16:])


def test_training_draws_depend_on_seed_epoch_video_and_repeat_alone(videos):
    def clip(seed=0, **request):
        dataset = make(
            videos, sampler=RandomSegmentClipSampler(4), augmentation=Augmentation(), seed=seed
        )
        fields = {"video_index": 0, "epoch": 0, "repeat": 0, "valid": True, **request}
        return dataset[VideoRequest(**fields)]

    base = clip()
    assert torch.equal(clip()["video"], base["video"])
    for other in (clip(epoch=1), clip(repeat=1), clip(seed=1)):
        assert other["draw_seed"] != base["draw_seed"]
        assert not torch.equal(other["video"], base["video"])
    assert base["draw_seed"].item() == stable_seed("clip", 0, 0, 0, 0)


def test_preparing_a_clip_leaves_the_global_generator_alone(videos):
    dataset = make(videos, sampler=RandomSegmentClipSampler(4), augmentation=Augmentation())
    state = torch.random.get_rng_state()
    dataset[0]
    assert torch.equal(torch.random.get_rng_state(), state)


def clips_of_epochs(videos, flipped, *, num_epochs=24, flip=0.5):
    plain = Augmentation(scale=(1.0, 1.0), ratio=(1.5, 1.5), flip=flip)
    dataset = make(videos, augmentation=plain, flipped_labels=flipped)
    still = make(videos, augmentation=Augmentation(scale=(1.0, 1.0), ratio=(1.5, 1.5), flip=0.0))
    upright = still[0]["video"]
    for epoch in range(num_epochs):
        batch = dataset[VideoRequest(0, epoch, 0, valid=True)]
        flipped_clip = torch.equal(batch["video"], upright.flip(-1))
        assert flipped_clip or torch.equal(batch["video"], upright)
        assert batch["changes"] == ["mirrored" if flipped_clip else ""]
        yield flipped_clip, batch["label"].item()


def test_a_flip_swaps_the_label(videos):
    drawn = list(clips_of_epochs(videos, (2, 1, 0)))
    assert {flipped for flipped, _ in drawn} == {True, False}
    assert all(label == (2 if flipped else 0) for flipped, label in drawn)


def test_what_augmentation_did_to_a_clip_is_told(videos, read_numbers):
    both = Augmentation(
        scale=(1.0, 1.0), ratio=(1.5, 1.5), reverse=0.5, reverse_label_pairs=[(0, 1)]
    )
    dataset = make(videos, augmentation=both, reversed_labels=(1, 0, -1))
    upright = make(videos)[0]["video"].shape
    told = set()
    for epoch in range(24):
        batch = dataset[VideoRequest(0, epoch, 0, valid=True)]
        (change,) = batch["changes"]
        told.add(change)
        assert batch["label"].item() == int("backwards" in change)
        numbers = read_numbers(batch["video"][0].flip(-1 if "mirrored" in change else ()))
        assert (numbers == sorted(numbers)) == ("backwards" not in change)
    assert told == {"", "mirrored", "backwards", "mirrored, backwards"}
    assert batch["video"].shape == upright


def test_randaugment_sees_the_whole_frame_before_the_crop(videos, monkeypatch):
    seen = []

    def note(frames, augmentation, draw):
        seen.append((tuple(frames.shape), float(torch.rand((), generator=draw))))
        return 255 - frames

    monkeypatch.setattr("pks4_lightning.data.loading.dataset.randaugment", note)
    whole = Augmentation(scale=(1.0, 1.0), ratio=(1.5, 1.5), flip=0.0)
    inverted = make(videos, augmentation=whole)[0]["video"]
    make(videos, augmentation=whole)[0]
    make(videos, augmentation=whole)[1]
    monkeypatch.undo()
    assert [shape for shape, _ in seen] == [(4, 64, 96, 3)] * 3
    assert seen[0] == seen[1] != seen[2]  # determined by the clip's seed
    plain = make(videos, augmentation=whole)[0]["video"]
    torch.testing.assert_close(255 - inverted.int(), plain.int(), atol=1, rtol=0)


def test_validation_clips_are_the_centre_of_the_decoded_frames(videos):
    frames = Video(videos.path(0)).frames([5, 15, 25, 35], 64)  # T H W 3
    assert frames.shape == (4, 64, 96, 3)
    (clip,) = make(videos)[0]["video"]
    assert torch.equal(clip, frames[:, :, 16:80].permute(3, 0, 1, 2))


def test_as_many_clips_as_asked_lose_their_colour(videos, monkeypatch):
    where = "pks4_lightning.data.loading.dataset.grayscale"
    monkeypatch.setattr(where, torch.zeros_like)  # the videos are already gray
    augmentation = Augmentation(grayscale=0.3)
    dataset = make(videos, augmentation=augmentation, frame_size=16)
    requests = [VideoRequest(2, epoch, 0, valid=True) for epoch in range(200)]
    assert 40 <= sum(not dataset[request]["video"].any() for request in requests) <= 80


def test_repeats_that_share_frames_decode_once_and_crop_anew(videos, monkeypatch):
    decoded = []
    frames_of = Video.frames

    def count(video, indices, resize):
        decoded.append(tuple(indices))
        return frames_of(video, indices, resize)

    monkeypatch.setattr(Video, "frames", count)
    dataset = make(videos, sampler=RandomSegmentClipSampler(4), augmentation=Augmentation())
    repeats = [VideoRequest(0, 0, repeat, valid=True, frames_of=0) for repeat in (0, 1)]
    first, second = (dataset[request]["video"] for request in repeats)
    assert len(decoded) == 1
    assert not torch.equal(first, second)
    other = dataset[VideoRequest(0, 0, 2, valid=True, frames_of=2)]
    assert len(decoded) == 2
    assert decoded[0] != decoded[1]
    assert torch.equal(dataset[repeats[1]]["video"], second)  # independent of requests in between
    # with frames of its own, the second repeat decodes other frames
    assert not torch.equal(dataset[VideoRequest(0, 0, 1, valid=True)]["video"], second)
    assert other["video_index"].tolist() == [0]


def test_a_class_that_must_not_be_mirrored_is_not(videos):
    drawn = list(clips_of_epochs(videos, (-1, 1, 2), num_epochs=6, flip=1.0))
    assert drawn == [(False, 0)] * 6


def test_fillers_are_blank_and_decode_nothing(tmp_path):
    nothing = VideoList("list", str(tmp_path), ("none.mp4",), (1,))
    sampler = CentredSegmentClipSampler(4, num_clips=2)
    batch = make(nothing, sampler=sampler)[VideoRequest(0, 0, 0, valid=False)]
    assert batch["valid"].tolist() == [False, False]
    assert batch["video"].shape == (2, 3, 4, 64, 64)
    assert batch["video"].sum() == 0


def test_videos_with_different_numbers_of_views_join(videos):
    two = make(videos, sampler=CentredSegmentClipSampler(4, num_clips=2))
    batch = join_views([two[0], make(videos)[1], two[2]])
    assert batch["video"].shape == (5, 3, 4, 64, 64)
    assert batch["video_index"].tolist() == [0, 0, 1, 2, 2]
    assert [path[-5:] for path in batch["video_path"]] == [
        "a.mp4", "a.mp4", ".webm", "c.mp4", "c.mp4"
    ]  # fmt: skip
