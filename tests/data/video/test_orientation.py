"""Frames are rotated and mirrored as in FFmpeg's player and Pillow, in all eight orientations."""

import io

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from pks4_lightning.data.inspection.probe import probe_file
from pks4_lightning.data.video.frame_folder import FrameFolder
from pks4_lightning.data.video.orientation import Orientation, exif_orientation
from pks4_lightning.data.video.video import Video
from tests.helpers.media import picture

# the effect of FFmpeg's filters transpose, hflip and vflip, by rotation and flips of the matrix
TURNED = {
    (0, False, False): lambda p: p,
    (0, True, False): lambda p: p[:, ::-1],
    (0, False, True): lambda p: p[::-1],
    (180, False, False): lambda p: p[::-1, ::-1],
    (90, False, False): lambda p: p.swapaxes(0, 1)[::-1],
    (-90, False, False): lambda p: p.swapaxes(0, 1)[:, ::-1],
    (90, False, True): lambda p: p.swapaxes(0, 1),
    (90, True, False): lambda p: p.swapaxes(0, 1)[::-1, ::-1],
}
PLAIN = (False, False)


def write(path, turn):
    degrees, left_right, up_down = turn
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = 48, 80, "yuv420p"
        stream.set_display_rotation(degrees, hflip=left_right, vflip=up_down)
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(picture(number, 48, 80), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("turn", "suffix"),
    # Matroska cannot store a reflection
    [(turn, ".mp4") for turn in TURNED] + [(turn, ".mkv") for turn in TURNED if turn[1:] == PLAIN],
)
def test_a_display_matrix_is_applied_like_in_players(tmp_path, turn, suffix):
    path = write(tmp_path / f"clip{suffix}", turn)
    stored = Video(path, apply_rotation=False).frames([0, 2]).numpy()
    assert stored.shape == (2, 48, 80, 3)
    shown = Video(path).frames([0, 2]).numpy()
    np.testing.assert_array_equal(shown, [TURNED[turn](frame) for frame in stored])
    scaled = Video(path).frames([0, 2], (24, 40) if shown.shape[1] == 48 else (40, 24)).numpy()
    small = Video(path, apply_rotation=False).frames([0, 2], (24, 40)).numpy()
    np.testing.assert_array_equal(scaled, [TURNED[turn](frame) for frame in small])


def test_the_index_tells_how_frames_are_turned(tmp_path):
    told = {}
    for number, turn in enumerate(TURNED):
        path = write(tmp_path / f"{number}.mp4", turn)
        record = probe_file(tmp_path, path.name)
        assert (record.status, record.width, record.height) == ("ok", 80, 48)
        told[record.rotation, record.mirrored] = turn
    assert set(told) == {(d, m) for d in (0, 90, 180, -90) for m in (False, True)}
    assert told[0, True] == (0, True, False)
    assert told[-90, False] == (-90, False, False)


def encoded(pixels, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(pixels).save(
        file, kind, exif=exif, **({"lossless": True} if kind == "webp" else {})
    )
    return file.getvalue()


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(10))
def test_images_are_rotated_like_in_pillow(tmp_path, kind, orientation):
    data = encoded(picture(5, 40, 64), kind, orientation)
    (tmp_path / f"1.{kind}").write_bytes(data)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    frame = FrameFolder(tmp_path).frames([0])[0].numpy()
    assert frame.shape == expected.shape
    # JPEG and WebP decoders differ slightly; a wrong orientation differs by over 20 levels
    assert np.abs(frame.astype(int) - expected).mean() < (0.1 if kind == "png" else 6)


def test_a_tag_in_xmp_alone_counts_and_a_damaged_one_does_not():
    plain = io.BytesIO()
    Image.fromarray(picture(5, 40, 64)).save(plain, "jpeg", xmp=b'<x tiff:Orientation="8"/>')
    assert exif_orientation(plain.getvalue()) == Orientation(1)
    data = encoded(picture(5, 40, 64), "jpeg", 6)
    place = data.index(b"Exif") + 6
    for damage in (b"\xff" * 12, b"MM\0*\xff\xff\xff\xff\0\0\0\0"):
        assert exif_orientation(data[:place] + damage + data[place + 12 :]) == Orientation()


def test_all_eight_orientations_differ():
    frame = picture(9, 48, 80)
    ways = [Orientation(quarters, mirrored) for quarters in range(4) for mirrored in (False, True)]
    assert len({way.apply(frame).tobytes() for way in ways}) == 8
    for way in ways:
        assert way.apply(frame).shape == ((80, 48, 3) if way.swaps_sides else (48, 80, 3))
