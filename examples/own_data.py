"""Read your own videos, listed in a table, as batches of clips."""

import csv
import sys
from pathlib import Path

from demo_videos import demo_videos

from pks4_lightning import VideoDataModule


def main(folder: Path, videos: Path) -> VideoDataModule:
    """Write a table like one of your own videos, and read it."""
    table = folder.resolve() / "my_videos.csv"  # a relative path would be below the data's folder
    with table.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(["path", "label"])
        for number, path in enumerate(sorted((videos / "videos").glob("*.webm"))[:24]):
            lines.writerow([path.name, ("first", "second", "third")[number % 3]])

    data = VideoDataModule(
        str(videos / "videos"),
        train=str(table),
        val=str(table),
        num_frames=4,
        frame_size=32,
        resize=36,
        batch_size=6,
        num_workers=0,
    )
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    print("classes:", data.label_names)
    print("clips, as decoded:", tuple(batch["video"].shape), batch["video"].dtype)
    print("as the model sees them:", tuple(data.to_model_input(batch).shape))
    print("labels:", batch["label"].tolist())
    return data


if __name__ == "__main__":
    place = Path(sys.argv[1])
    main(place, demo_videos(place))
