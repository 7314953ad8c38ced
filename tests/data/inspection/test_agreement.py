"""The index, the reader and FFmpeg agree on generated files of many kinds."""

import av
import pytest

from tests.helpers.agreement import disagreements
from tests.helpers.containers import draw_recipe, write_file


def disagreeing(folder, numbers):
    """Return the disagreements by file number, and the number of files."""
    found, num_files = {}, 0
    for number in numbers:
        recipe = draw_recipe(number)
        try:
            path = write_file(folder / f"clip{number}", recipe)
        except av.error.ArgumentError:
            continue  # the muxer does not support this start
        num_files += 1
        if sentences := disagreements(path):
            found[number] = (recipe, sentences)
        path.unlink()
    return found, num_files


def test_index_reader_and_ffmpeg_agree(tmp_path):
    found, num_files = disagreeing(tmp_path, range(90))
    assert found == {}
    assert num_files >= 85


@pytest.mark.slow
def test_index_reader_and_ffmpeg_agree_on_very_many_files(tmp_path):
    found, num_files = disagreeing(tmp_path, range(90, 2090))
    assert found == {}
    assert num_files >= 1900


def test_draws_cover_all_kinds_of_files():
    recipes = [draw_recipe(number) for number in range(90)]
    assert len({(recipe.suffix, recipe.codec) for recipe in recipes}) >= 30
    tracks = {track for recipe in recipes for track in recipe.tracks}
    assert tracks == {"video", "sound", "still", "subtitles", "data", "cover", "attachment"}
    kinds = [
        (bool(r.stamps), bool(r.cut), r.joined, r.timecode, r.start < 0, r.num_frames < 6)
        for r in recipes
    ]
    assert all(any(kind) for kind in zip(*kinds, strict=True))
    assert any(r.tracks[0] != "video" for r in recipes)
