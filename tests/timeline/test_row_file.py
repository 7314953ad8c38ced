import numpy as np
import pytest

from pks4_lightning.timeline.row_file import RowFile

ROWS = np.arange(70, dtype=np.float32).reshape(10, 7)


@pytest.mark.parametrize("shape", [(10,), (10, 7), (10, 2, 3, 4)])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_rows_are_readable_by_numpy(tmp_path, shape, dtype):
    rows = np.random.default_rng(0).normal(size=shape).astype(dtype)
    file = RowFile(tmp_path / "deep" / "a.npy", block=4)
    for first in range(0, 10, 4):
        file.append(rows[first : first + 4])
        assert not file.path.exists()
    assert np.array_equal(file.finish(), rows)
    loaded = np.load(file.path)
    assert loaded.dtype == dtype
    assert np.array_equal(loaded, rows)
    assert list(file.path.parent.iterdir()) == [file.path]


def test_a_truncated_file_is_continued_after_its_whole_blocks(tmp_path):
    path, part = tmp_path / "a.npy", tmp_path / "a.npy.part"
    whole = RowFile(path, block=3)
    whole.append(ROWS[:3])
    whole.append(ROWS[3:6])
    content = part.read_bytes()
    for size in range(len(content) + 1):
        part.write_bytes(content[:size])
        file = RowFile(path, block=3)
        assert file.num_rows == max(0, (size - 128) // 28 // 3 * 3)
        while file.num_rows < 10:
            file.append(ROWS[file.num_rows : file.num_rows + 3])
        assert np.array_equal(file.finish(), ROWS)


def test_rows_can_be_taken_back_and_the_last_ones_left_out(tmp_path):
    file = RowFile(tmp_path / "a.npy", block=2)
    for first in range(0, 8, 2):
        file.append(-ROWS[first : first + 2])
    file.keep(3)
    assert file.num_rows == 2
    file.append(ROWS[2:4])
    assert np.array_equal(file.finish(3), [*-ROWS[:2], ROWS[2]])
    file = RowFile(tmp_path / "b.npy", block=2)
    file.append(ROWS[:2])
    file.discard()
    assert file.num_rows == 0
    assert not list(tmp_path.glob("b.*"))
