"""Tables and figures from recorded predictions: `benchmarks/answers.py FILES --title TITLE`.

`benchmarks/evidence.py` records the predictions of each run. Runs of the same task with other arms
or seeds are joined here. All arms are compared with the first, with the seeds that all have.
"""

from pathlib import Path

from machine import arguments, write_rows

from pks4_lightning.experiments.answers import correct, join_answers, write_answers
from pks4_lightning.experiments.evidence.arms import arm_keys, evidence_arms
from pks4_lightning.experiments.evidence.report import report, save_figures
from pks4_lightning.tables import print_tables

if __name__ == "__main__":
    parser = arguments("Join recorded predictions and compare the arms.")
    parser.add_argument("files", nargs="+", type=Path, help="of one task, from evidence.py --json")
    some = parser.add_mutually_exclusive_group()
    some.add_argument("--arms", nargs="+", choices=arm_keys(), help="default: all in the files")
    some.add_argument("--table", type=int, help="the rows of this table of the paper")
    parser.add_argument("--title", required=True, help="of the table and the figures")
    parser.add_argument("--out", type=Path, help="file for the joined predictions")
    options = parser.parse_args()
    clips, answers = join_answers(options.files)
    if options.out is not None:
        write_answers(options.out, clips, answers)
    rows = [arm.name for arm in evidence_arms(options.arms or ())]
    if options.table is not None:
        known = dict.fromkeys(row for row, _ in answers)
        rows = [row for row in known if row.startswith(f"Table {options.table}, ")]
        if not rows:
            parser.error(f"no file has rows of Table {options.table}")
    right = correct(clips, answers, rows)
    chance = 1 / len({clip.label for clip in clips})
    found = report(right, clips, title=options.title, chance=chance)
    print_tables(*found.tables)
    write_rows(options.json, found.rows)
    if options.json is not None:
        named = {"comparison": options.json.stem, "amplitudes": f"{options.json.stem}_amplitudes"}
        figures = {named[name]: figure for name, figure in found.figures.items()}
        save_figures(figures, options.json.parent)
