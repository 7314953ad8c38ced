"""Compare the index, the reader and FFmpeg on generated files: verdict, frame count, pixels.

The files cover the containers, codecs, track orders, GOP structures and cuts that
``tests/helpers/containers`` draws; see there and ``docs/videos.md``.
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path

import av
from machine import arguments, write_rows
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.helpers.agreement import disagreements
from tests.helpers.containers import Recipe, draw_recipe, write_file


def main() -> None:
    parser = arguments(__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=3000, help="recipes to draw")
    options = parser.parse_args()
    num_files: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.files):
            recipe = draw_recipe(number)
            try:
                path = write_file(Path(folder, f"clip{number}"), recipe)
            except av.error.ArgumentError:
                kinds["refused by the muxer"] += 1
                continue
            num_files[recipe.suffix] += 1
            kinds.update(describe(recipe))
            found += [f"{number}: {sentence}" for sentence in disagreements(path)]
            path.unlink()
    table = Table(title=f"{num_files.total()} files, {len(found)} disagreements", box=None)
    table.add_column("kind")
    table.add_column("files", justify="right")
    for name, count in [*sorted(num_files.items()), *kinds.most_common()]:
        table.add_row(name, str(count))
    Console().print(table)
    for sentence in found:
        print(sentence)
    rows = {
        "files": num_files.total(),
        "disagreements": found,
        "containers": dict(sorted(num_files.items())),
        "kinds": dict(kinds.most_common()),
    }
    write_rows(options.json, rows)


def describe(recipe: Recipe) -> list[str]:
    """List the features by which a file differs from an ordinary video."""
    kinds = [f"codec {recipe.codec}", *(track for track in recipe.tracks if track != "video")]
    kinds += ["time code"] if recipe.timecode else []
    kinds += ["video not first"] if recipe.tracks[0] != "video" else []
    kinds += ["cut by -c copy"] if recipe.cut else []
    kinds += ["uneven times"] if recipe.stamps else []
    kinds += ["edit list"] if recipe.start < 0 else []
    kinds += ["starts late"] if recipe.start > 0 else []
    kinds += ["B-frames"] if recipe.b_frames else []
    kinds += ["joined"] if recipe.joined else []
    kinds += ["1 to 5 frames"] if recipe.num_frames <= 5 else []
    return kinds


if __name__ == "__main__":
    main()
