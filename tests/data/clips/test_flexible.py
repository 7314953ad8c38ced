from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from pks4_lightning.data.clips.flexible import (
    FlexibleScales,
    Scale,
    ScaleDraws,
    StepScales,
    scaled_resize,
)
from pks4_lightning.data.datamodule import VideoDataModule
from pks4_lightning.data.loading.sampler import TokenBudget, VideoSampler

FRAMES, SIZES = [8, 16, 32, 64], [112, 168, 224, 336]
STATIC_TOKENS = FlexibleScales(num_frames=FRAMES, frame_sizes=SIZES)
SMALL = {"num_frames": 4, "frame_size": 32, "resize": 36, "batch_size": 2, "num_workers": 0}
SMALL_SCALES = FlexibleScales(num_frames=[2, 3, 6], frame_sizes=[16, 32, 48])


def draws(scales=STATIC_TOKENS, *, grid_size=14, seed=0, **options):
    settings = {"num_frames": 8, "frame_size": 224, "patch_size": 16, **options}
    return ScaleDraws(scales=scales, grid_size=grid_size, seed=seed, **settings)


def data_on(root, *, rank=0, world_size=1, accumulation=1, flexible=SMALL_SCALES, **options):
    data = VideoDataModule(str(root), flexible=flexible, **{**SMALL, **options})
    data.trainer = SimpleNamespace(
        global_rank=rank,
        world_size=world_size,
        num_devices=world_size,
        accumulate_grad_batches=accumulation,
    )
    data.setup("fit")
    data.match_patches(patch_size=8, grid_size=4)
    return data


def epoch_of(data, epoch=0):
    loader = data.train_dataloader()
    sampler = getattr(loader.batch_sampler, "sampler", loader.sampler)
    sampler.set_epoch(epoch)
    return list(loader)


class TestDraws:
    def test_are_a_function_of_seed_and_step(self):
        drawn = [draws().at(step) for step in range(200)]
        assert [draws().at(step) for step in range(200)] == drawn
        assert [draws(seed=1).at(step) for step in range(200)] != drawn

    def test_leave_the_global_generator_alone(self):
        state = torch.random.get_rng_state()
        draws().at(3)
        assert torch.equal(torch.random.get_rng_state(), state)

    def test_are_uniform_and_independent(self):
        counts = Counter(draws().at(step)[:2] for step in range(3200))
        assert set(counts) == {(length, size) for length in FRAMES for size in SIZES}
        assert all(140 < count < 260 for count in counts.values()), "200 each; sd 14"

    def test_may_prefer_short_clips(self):
        scales = FlexibleScales(num_frames=FRAMES, lengths="inverse")
        counts = Counter(draws(scales).at(step).num_frames for step in range(3000))
        for length, expected in zip(FRAMES, (1600, 800, 400, 200), strict=True):
            assert abs(counts[length] - expected) < 110

    @pytest.mark.parametrize(("lengths", "cost"), [("uniform", 3.75), ("inverse", 32 / 15)])
    def test_cost_what_the_design_says(self, lengths, cost):
        means = draws(FlexibleScales(num_frames=FRAMES, frame_sizes=SIZES, lengths=lengths)).means(
            16
        )
        assert means["tokens"] == pytest.approx(cost)
        assert means["videos_per_batch"] == pytest.approx(16)
        assert means["frame_size"] == pytest.approx(210)

    def test_of_larger_frames_cost_more_where_patches_are_static(self):
        scales = FlexibleScales(frame_sizes=[112, 224, 448])
        costs = [scale.cost for scale, _ in draws(scales, grid_size=None).outcomes()]
        assert costs == [0.25, 1.0, 4.0]
        assert [scale.cost for scale, _ in draws(scales).outcomes()] == [1.0, 1.0, 1.0]

    def test_take_a_grid_that_divides_the_frame(self):
        scales = FlexibleScales(frame_sizes=[96, 112], grid_sizes=[7, 8, 14])
        outcomes = list(draws(scales, grid_size=None).outcomes())
        assert [(s.frame_size, s.patch_size) for s, _ in outcomes] == [
            (96, 12),
            (112, 16),
            (112, 14),
            (112, 8),
        ]
        assert [p for _, p in outcomes] == pytest.approx([1 / 2, 1 / 6, 1 / 6, 1 / 6])
        assert outcomes[0][0].cost == pytest.approx((8 / 14) ** 2)
        drawn = {draws(scales, grid_size=None).at(step)[1:] for step in range(60)}
        assert drawn == {scale[1:] for scale, _ in outcomes}

    def test_of_sizes_that_patches_do_not_cover_are_refused(self):
        with pytest.raises(ValueError, match=r"Frames of 168 pixels .* patches of 16 pixels; give"):
            draws(grid_size=None)
        with pytest.raises(ValueError, match=r"Frames of 168 pixels .* 16 x 16 patches; give mult"):
            draws(grid_size=16)
        with pytest.raises(ValueError, match=r"Frames of 100 pixels .* any grid .*\[7, 14\]"):
            draws(FlexibleScales(frame_sizes=[112, 100], grid_sizes=[7, 14]))

    @pytest.mark.parametrize("name", ["num_frames", "frame_sizes", "grid_sizes"])
    @pytest.mark.parametrize("values", [[], [0, 8]])
    def test_from_nothing_are_refused(self, name, values):
        with pytest.raises(ValueError, match=f"data.flexible.{name} is"):
            FlexibleScales(**{name: values})


class TestSteps:
    def test_all_requests_of_an_optimiser_step_share_its_draw(self):
        # 7 micro-batches of 6 requests, 3 per step: the steps have 3, 3 and 1 micro-batches
        scales = StepScales(
            draws=draws(), requests_per_batch=6, batches_per_epoch=7, accumulation=3
        )
        for epoch in range(3):
            for position in range(42):
                assert scales.at(epoch, position) == draws().at(epoch * 3 + position // 18)

    def test_a_resumed_epoch_goes_on_with_the_same_draws(self):
        def sampler():
            made = VideoSampler(14, shuffle=True, num_repeats=2)
            made.scales = StepScales(
                draws=draws(), requests_per_batch=4, batches_per_epoch=7, accumulation=2
            )
            return made

        first, resumed = sampler(), sampler()
        first.set_epoch(2)
        resumed.load_state_dict(first.state_dict(position=12))
        assert list(resumed) == list(first)[12:]

    @pytest.mark.parametrize("accumulation", [1, 2])
    def test_ranks_draw_alike(self, ssv2_root, accumulation):
        shapes = []
        for rank in range(2):
            data = data_on(
                ssv2_root, rank=rank, world_size=2, accumulation=accumulation, batch_size=1
            )
            shapes.append([tuple(b["video"].shape) for e in range(4) for b in epoch_of(data, e)])
        assert shapes[0] == shapes[1]
        assert len(shapes[0]) == 12
        assert len(set(shapes[0])) > 2

    def test_batches_say_what_they_cost(self, ssv2_root):
        for batch in epoch_of(data_on(ssv2_root)):
            assert batch["relative_cost"] == batch["video"].shape[2] / 4
            assert "whole_batch" not in batch
        fixed = epoch_of(data_on(ssv2_root, flexible=FlexibleScales()))[0]
        assert "relative_cost" not in fixed

    def test_workers_change_nothing(self, ssv2_root):
        batches = []
        for num_workers in (0, 2):
            data = data_on(ssv2_root, num_workers=num_workers, num_repeats=2)
            batches.append([batch for epoch in range(2) for batch in epoch_of(data, epoch)])
        for one, other in zip(*batches, strict=True):
            assert torch.equal(one["video"], other["video"])
            assert one["video_index"].tolist() == other["video_index"].tolist()


def test_workers_decode_the_frames_needed_and_no_others(ssv2_root, monkeypatch):
    from pks4_lightning.data.video.video import Video

    asked = []
    frames = Video.frames

    def counted(video, indices, resize=None):
        asked.append((len(indices), resize))
        return frames(video, indices, resize)

    monkeypatch.setattr(Video, "frames", counted)
    data = data_on(ssv2_root)
    shapes = [batch["video"].shape for epoch in range(4) for batch in epoch_of(data, epoch)]
    assert asked == [
        (length, scaled_resize(36, old=32, new=height))
        for _, _, length, height, _ in shapes
        for _video in range(2)
    ]


def test_validation_clips_keep_their_scale(ssv2_root):
    shapes = {tuple(batch["video"].shape[1:]) for batch in data_on(ssv2_root).val_dataloader()}
    assert shapes == {(3, 4, 32, 32)}


class TestTokenBudget:
    SCALES = FlexibleScales(num_frames=[2, 8, 32], constant="tokens")

    def test_keeps_fewer_videos_of_longer_clips(self, ssv2_root):
        data = data_on(ssv2_root, flexible=self.SCALES, batch_size=3, num_repeats=2)
        seen = set()
        for epoch in range(6):
            batches = epoch_of(data, epoch)
            assert len(batches) == data.num_train_batches() == 2, "as many as without draws"
            for batch in batches:
                videos = batch["video_index"].view(-1, 2)
                assert (videos[:, 0] == videos[:, 1]).all()
                seen.add((batch["video"].shape[2], len(videos)))
                assert batch["relative_cost"] == batch["video"].shape[2] / 4
                assert batch["whole_batch"] == 6
        assert seen == {(2, 3), (8, 1), (32, 1)}

    def test_takes_the_videos_that_whole_batches_begin_with(self):
        sampler = VideoSampler(12, shuffle=True)
        sampler.scales = StepScales(
            draws=draws(FlexibleScales(num_frames=FRAMES, constant="tokens")),
            requests_per_batch=4,
            batches_per_epoch=3,
            accumulation=1,
        )
        whole = list(sampler)
        for number, batch in enumerate(TokenBudget(sampler, 4, drop_last=True)):
            kept = {8: 4, 16: 2, 32: 1, 64: 1}[batch[0].scale.num_frames]
            assert batch[0].scale.cost == batch[0].scale.num_frames / 8
            assert batch[0].scale.whole_batch == 4
            videos = [request.video_index for request in whole[4 * number : 4 * number + kept]]
            assert [request.video_index for request in batch] == videos

    def test_costs_at_most_the_budget_on_average(self):
        scales = FlexibleScales(num_frames=FRAMES, frame_sizes=SIZES, constant="tokens")
        means = draws(scales, grid_size=None, patch_size=56).means(128)
        assert 0.5 < means["tokens"] <= 1.0
        assert means["videos_per_batch"] < 128


class TestFittingTheModel:
    def data(self, **options):
        return VideoDataModule(None, **{**SMALL, **options})

    def test_a_fixed_grid_takes_the_nearest_size_it_divides(self):
        data = self.data(frame_size=290, resize=(330, 440))
        data.match_patches(patch_size=16, grid_size=14)
        assert data.frame_size == 294
        assert data.scales.resize == (335, 446)

    def test_sizes_that_fit_are_left_alone(self):
        for size, patch_size, grid_size in ((224, 16, None), (224, 16, 14), (48, 8, None)):
            data = self.data(frame_size=size, resize=256)
            data.match_patches(patch_size=patch_size, grid_size=grid_size)
            assert (data.frame_size, data.scales.resize) == (size, 256)

    def test_fixed_patches_refuse_what_they_do_not_cover(self):
        data = self.data(frame_size=230, resize=256)
        with pytest.raises(ValueError, match=r"is 230; .* patches of 16 pixels, .* such as 224"):
            data.match_patches(patch_size=16, grid_size=None)

    def test_a_frame_smaller_than_its_grid_is_refused(self):
        data = self.data(frame_size=6)
        with pytest.raises(ValueError, match=r"is 6; .* 14 x 14 patches, so give a multiple of 14"):
            data.match_patches(patch_size=16, grid_size=14)

    def test_draws_are_checked_as_well(self):
        data = self.data(flexible=FlexibleScales(frame_sizes=[24, 32, 44]))
        data.match_patches(patch_size=8, grid_size=4)
        with pytest.raises(ValueError, match="Frames of 44 pixels"):
            data.match_patches(patch_size=8, grid_size=None)


def test_a_batch_of_the_largest_draw_must_fit_into_memory():
    flexible = FlexibleScales(num_frames=[8, 4000], frame_sizes=[32, 40000])
    data = VideoDataModule("/", flexible=flexible, **SMALL)
    with pytest.raises(ValueError, match="train batches of 2 clips × 4000 frames of 40000 pixels"):
        data.setup("fit")


@pytest.mark.parametrize(
    ("resize", "expected"),
    [(256, 128), ((256, 320), (128, 160)), (224, 112), ((240, 224), (120, 112))],
)
def test_the_frame_is_scaled_along_with_its_crop(resize, expected):
    assert scaled_resize(resize, old=224, new=112) == expected
    assert scaled_resize(resize, old=224, new=224) == resize


def test_a_request_without_scale_gets_the_data_modules():
    assert VideoSampler(1).scales is None
    assert next(iter(VideoSampler(1))).scale is None
    assert Scale(8, 224).patch_size is None
