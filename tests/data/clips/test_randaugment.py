"""RandAugment: every operation compared with its formula, and the sampling of operations."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image

from pks4_lightning.data.clips.randaugment import OPERATIONS, grayscale, randaugment
from pks4_lightning.data.clips.transforms import Augmentation

STRENGTH = 0.7
HEIGHT, WIDTH = 24, 40
GREY = 128


def pictures(num=1, seed=0):
    """Images of blocky noise with a dark corner and a reduced range of values."""
    draw = np.random.default_rng(seed)
    coarse = draw.integers(20, 230, size=(num, HEIGHT // 4, WIDTH // 4, 3))
    fine = coarse.repeat(4, axis=1).repeat(4, axis=2) + draw.integers(
        -9, 10, (num, HEIGHT, WIDTH, 3)
    )
    fine[:, :6, :6] = 15
    return fine.astype(np.uint8)


def luma(x):
    return np.floor((x @ np.array([19595, 38470, 7471]) + 2**15) / 2**16)


def blended(base, x, sign):
    return np.clip(base + (1 + 0.9 * STRENGTH * sign) * (x - base), 0, 255)


def smoothed(x):
    """Mean over 3 × 3 pixels with weight five for the centre; the border is left unchanged."""
    inner = sum(
        np.roll(x, (dy, dx), (0, 1)) * (5 if dy == dx == 0 else 1)
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
    )
    out = x.copy()
    out[1:-1, 1:-1] = inner[1:-1, 1:-1] / 13
    return out


def stretched(x):
    low, high = x.min((0, 1)), x.max((0, 1))
    return (x - low) * 255 / (high - low)


def equalized(x):
    out = np.empty_like(x)
    for channel in range(3):
        values = x[..., channel].astype(int)
        counts = np.bincount(values.ravel(), minlength=256)
        step = (counts.sum() - counts[counts > 0][-1]) // 255
        below = np.cumsum(counts) - counts
        out[..., channel] = np.minimum((step // 2 + below) // step, 255)[values]
    return out


def warped(x, source):
    """Sample the image bilinearly at ``source``; integer coordinates are pixel corners."""
    out = np.full_like(x, GREY)
    for row in range(HEIGHT):
        for column in range(WIDTH):
            from_x, from_y = source(column + 0.5, row + 0.5)
            if 0 <= from_x < WIDTH and 0 <= from_y < HEIGHT:
                left, top = from_x - 0.5, from_y - 0.5
                x0, y0 = math.floor(left), math.floor(top)
                pixel = 0
                for dx, across in ((0, 1 - left + x0), (1, left - x0)):
                    for dy, down in ((0, 1 - top + y0), (1, top - y0)):
                        near = min(max(y0 + dy, 0), HEIGHT - 1), min(max(x0 + dx, 0), WIDTH - 1)
                        pixel = pixel + across * down * x[near]
                out[row, column] = pixel
    return out


def turned(x, sign):
    angle = math.radians(-30 * STRENGTH * sign)
    cos, sin = math.cos(angle), math.sin(angle)

    def source(column, row):
        across, down = column - WIDTH / 2, row - HEIGHT / 2
        return cos * across + sin * down + WIDTH / 2, cos * down - sin * across + HEIGHT / 2

    return warped(x, source)


FORMULAS = {
    "auto_contrast": lambda x, _: stretched(x),
    "equalize": lambda x, _: equalized(x),
    "invert": lambda x, _: 255 - x,
    "rotate": turned,
    "posterize": lambda x, _: x // 64 * 64,  # keeps 4 - int(2.8) bits
    "solarize": lambda x, _: np.where(x < 256 - 179, x, 255 - x),
    "solarize_add": lambda x, _: np.where(x < 128, np.minimum(x + 77, 255), x),
    "color": lambda x, sign: blended(luma(x)[..., None], x, sign),
    "contrast": lambda x, sign: blended(np.floor(luma(x).mean() + 0.5), x, sign),
    "brightness": lambda x, sign: blended(0, x, sign),
    "sharpness": lambda x, sign: blended(np.floor(smoothed(x) + 0.5), x, sign),
    # relative to the top left corner
    "shear_x": lambda x, s: warped(x, lambda u, v: (u + 0.3 * STRENGTH * s * v, v)),
    "shear_y": lambda x, s: warped(x, lambda u, v: (u, v + 0.3 * STRENGTH * s * u)),
    "translate_x": lambda x, s: warped(x, lambda u, v: (u + 0.45 * STRENGTH * s * WIDTH, v)),
    "translate_y": lambda x, s: warped(x, lambda u, v: (u, v + 0.45 * STRENGTH * s * HEIGHT)),
}


@pytest.mark.parity
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_its_formula(name, sign):
    (picture,) = pictures()
    ours = OPERATIONS[name](Image.fromarray(picture), STRENGTH, sign)
    expected = FORMULAS[name](picture.astype(float), sign)
    error = np.abs(np.asarray(ours, float) - expected)
    assert error.max() <= 1.01, (error.max(), np.argwhere(error > 1.01)[:5])
    assert np.abs(expected - picture).mean() > 3


@pytest.mark.parametrize(
    "name", sorted(set(OPERATIONS) - {"auto_contrast", "equalize", "invert", "posterize"})
)
def test_strength_zero_is_no_change_and_more_is_more(name):
    (picture,) = pictures()
    changes = [
        np.abs(
            np.asarray(OPERATIONS[name](Image.fromarray(picture), s, 1.0), float) - picture
        ).mean()
        for s in (0.0, 0.3, 0.6)
    ]
    assert changes[0] == 0
    assert changes[0] < changes[1] < changes[2]


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_greatest_strength_can_be_drawn(name):
    picture = Image.fromarray(pictures()[0])
    for sign in (1.0, -1.0):
        drawn = OPERATIONS[name](picture, 1.0, sign)
        assert (drawn.size, drawn.mode) == (picture.size, picture.mode)


def draws(augmentation, monkeypatch, *, num=3000):
    """Return the name, strength and sign of each operation applied in many draws."""
    done = []
    for name in OPERATIONS:

        def note(picture, strength, sign, name=name):
            done.append((name, strength, sign))
            return picture

        monkeypatch.setitem(OPERATIONS, name, note)
    frame = torch.zeros(1, 4, 4, 3, dtype=torch.uint8)
    for seed in range(num):
        randaugment(frame, augmentation, torch.Generator().manual_seed(seed))
    return done


def test_operations_signs_and_strengths_are_drawn_as_the_recipe_says(monkeypatch):
    done = draws(Augmentation(randaugment_num_ops=4), monkeypatch)
    assert len(done) == pytest.approx(3000 * 4 * 0.5, rel=0.05)  # each with probability 0.5
    names = Counter(name for name, _, _ in done)
    assert names.keys() == OPERATIONS.keys()
    for count in names.values():
        assert count == pytest.approx(len(done) / 15, rel=0.2)
    assert Counter(sign for _, _, sign in done)[1.0] == pytest.approx(len(done) / 2, rel=0.05)
    strengths = np.array([strength for _, strength, _ in done])
    assert strengths.mean() == pytest.approx(0.7, abs=0.003)
    assert strengths.std() == pytest.approx(0.05, abs=0.003)


def test_strengths_stay_between_0_and_10(monkeypatch):
    wild = Augmentation(randaugment_num_ops=1, randaugment_std=20.0, randaugment_probability=1.0)
    strengths = [strength for _, strength, _ in draws(wild, monkeypatch, num=300)]
    assert (min(strengths), max(strengths)) == (0.0, 1.0)


def test_all_frames_of_a_clip_get_the_same_operations():
    still = torch.from_numpy(pictures()).expand(5, -1, -1, -1)
    for seed in range(6):
        strong = Augmentation(randaugment_num_ops=4, randaugment_probability=1.0)
        out = randaugment(still, strong, torch.Generator().manual_seed(seed))
        assert not torch.equal(out, still)
        assert torch.equal(out, out[:1].expand_as(out))


def test_nothing_switched_on_changes_nothing():
    frames = torch.from_numpy(pictures(2))
    never = Augmentation(randaugment_num_ops=4, randaugment_probability=0.0)
    for augmentation in (Augmentation(), never):
        assert randaugment(frames, augmentation, torch.Generator()) is frames


def test_gray_frames_hold_the_luma():
    frames = pictures(2)
    gray = grayscale(torch.from_numpy(frames)).numpy()
    assert np.array_equal(gray, np.repeat(luma(frames.astype(float))[..., None], 3, axis=-1))
