import pytest

from pks4_lightning.models.config import PKS4Config
from pks4_lightning.paper.tables import NUM_TABLES, printed_digits, printed_number, read_table

TABLES = [read_table(number) for number in range(1, NUM_TABLES + 1)]
SETTINGS = [
    pytest.param(row, id=f"{table.number}-{row.name}")
    for table in TABLES
    for row in table.rows
    if row.settings
]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: str(table.number))
def test_rows_have_names_of_their_own_and_numbers_where_a_column_has_a_unit(table):
    assert len({row.name for row in table.rows}) == len(table.rows)
    for row in table.rows:
        for column in table.columns:
            cell = row.cells[column.key]
            assert not column.unit or cell in ("", "-") or printed_number(cell) is not None


def test_all_rows_of_the_paper_are_there():
    assert [len(table.rows) for table in TABLES] == [10, 3, 28, 15, 4, 7, 2, 4, 4]


@pytest.mark.parametrize("row", SETTINGS)
def test_settings_describe_a_classifier_and_the_printed_views(row):
    PKS4Config(**row.settings["classifier"])
    views = [row.settings[name] for name in ("num_frames", "num_clips", "num_crops")]
    if "views" in row.cells:
        assert row.cells["views"] == "×".join(map(str, views))


def test_reads_numbers_as_printed():
    (uni, _) = read_table(7).rows
    assert printed_number(uni.cells["total_compute"]) == 2.9521
    assert printed_digits(uni.cells["total_compute"]) == 4
    assert printed_digits("313M") == 0


@pytest.mark.parametrize("number", [0, 10, -1])
def test_a_table_that_does_not_exist_is_refused(number):
    with pytest.raises(ValueError, match=f"no table {number}; its tables are 1 to 9"):
        read_table(number)
