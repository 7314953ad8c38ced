import pytest

from pks4_lightning.cost.flops import count_flops
from pks4_lightning.cost.meta import meta_classifier
from pks4_lightning.cost.scaling import crossover, scale_frame_size, scale_num_frames
from pks4_lightning.cost.training_compute import training_eflops

WIDTH = 16


def test_cost_is_linear_in_the_length(tiny):
    four, eight, sixteen = scale_num_frames(tiny(), frame_size=32, lengths=(4, 8, 16))
    for part in ("tower", "tower_attention", "priors"):
        assert getattr(eight, part) == pytest.approx(2 * getattr(four, part), rel=1e-3)
    # exactly linear beyond the convolution's four taps
    assert sixteen.scanner - eight.scanner == 2 * (eight.scanner - four.scanner)


def test_attention_within_frames_is_quadratic_in_patches_and_the_rest_is_linear(tiny):
    points = list(scale_frame_size(tiny(), num_frames=2))
    assert [point.frame_size for point in points] == [112, 168, 224, 280, 336, 392, 448]
    first, last = points[0], points[-1]
    tokens = ((112 // 8) ** 2 + 1, (448 // 8) ** 2 + 1)
    assert last.tower_attention * tokens[0] ** 2 == first.tower_attention * tokens[1] ** 2
    assert last.scanner == 16 * first.scanner


def test_the_total_equals_the_counters(tiny):
    (point,) = scale_num_frames(tiny(), frame_size=32, lengths=(8,))
    parts = count_flops(meta_classifier(tiny()), num_frames=8, frame_size=32)
    assert point.total == sum(flops.all_matmuls for flops in parts.values())


def test_attention_along_time_is_its_closed_form(tiny):
    (point,) = scale_num_frames(tiny(), frame_size=32, lengths=(8,))
    one_location = 8 * 4 * WIDTH**2 + 2 * 8**2 * WIDTH + 5 * 8 * WIDTH
    assert point.attention_along_time == 16 * one_location


def test_scanner_and_attention_cost_the_same_where_they_cross(tiny):
    equal = round(crossover(next(scale_num_frames(tiny(), frame_size=32, lengths=(128,)))))
    below, above = scale_num_frames(tiny(), frame_size=32, lengths=(equal // 2, 2 * equal))
    assert below.scanner > below.attention_along_time
    assert above.scanner < above.attention_along_time


def test_a_control_in_the_scanners_place_is_refused(tiny):
    with pytest.raises(ValueError, match="scanner is gru: leave --scaling out"):
        next(scale_num_frames(tiny(scanner="gru"), frame_size=32))


def test_training_compute_is_six_operations_per_multiply_add():
    assert training_eflops(1e9, num_videos=10**6, num_epochs=2) == pytest.approx(0.012)
