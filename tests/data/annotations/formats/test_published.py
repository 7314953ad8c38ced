"""Published data sets: small trees in the archives' layout, read with only the root given."""

import json
import logging
import re

import pytest

from pks4_lightning.data.annotations.layout import DataLayout
from pks4_lightning.data.annotations.reading import FORMATS, detect_format, read_entries
from pks4_lightning.data.annotations.walking import find_videos


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def read_all(layout):
    """Paths and labels of each split."""
    videos = {split: layout.read(split) for split in ("train", "val", "test")}
    return {
        split: dict(zip(found.paths, found.labels, strict=True)) for split, found in videos.items()
    }


@pytest.fixture
def ucf101(tmp_path):
    lists = tmp_path / "ucfTrainTestlist"
    write(lists / "classInd.txt", "1 ApplyEyeMakeup\r\n2 Archery\r\n3 HandstandPushups\r\n")
    for fold, (trained, tested) in {1: ("08", "01"), 2: ("01", "08")}.items():
        write(
            lists / f"trainlist0{fold}.txt",
            f"ApplyEyeMakeup/v_ApplyEyeMakeup_g{trained}_c01.avi 1\r\n"
            f"HandstandPushups/v_HandStandPushups_g{trained}_c01.avi 3\r\n",
        )
        write(lists / f"testlist0{fold}.txt", f"Archery/v_Archery_g{tested}_c01.avi\r\n")
    for group in ("01", "08"):
        touch(
            tmp_path / "UCF-101",
            f"ApplyEyeMakeup/v_ApplyEyeMakeup_g{group}_c01.avi",
            f"Archery/v_Archery_g{group}_c01.avi",
            f"HandstandPushups/v_HandStandPushups_g{group}_c01.avi",
        )
    return tmp_path


def test_ucf101(ucf101):
    layout = DataLayout(str(ucf101))
    tested = {"Archery/v_Archery_g01_c01.avi": 1}
    assert read_all(layout) == {
        "train": {
            "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi": 0,
            "HandstandPushups/v_HandStandPushups_g08_c01.avi": 2,
        },
        "val": tested,
        "test": tested,
    }
    assert layout.label_names() == ["ApplyEyeMakeup", "Archery", "HandstandPushups"]
    assert layout.read("train").folder == str(ucf101 / "UCF-101")


def test_ucf101_has_three_splits(ucf101):
    second = DataLayout(str(ucf101), fold=2).read("train")
    assert second.paths[0] == "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi"
    with pytest.raises(FileNotFoundError, match=r"trainlist04.txt"):
        DataLayout(str(ucf101), fold=4).read("train")


def test_ucf101_in_another_case_and_container_is_the_same(ucf101):
    old = ucf101 / "UCF-101" / "HandstandPushups"
    touch(ucf101, "UCF-101/HandStandPushups/v_HandstandPushups_g08_c01.mp4")
    for file in old.iterdir():
        file.unlink()
    old.rmdir()
    train = DataLayout(str(ucf101)).read("train")
    assert train.paths[1] == "HandStandPushups/v_HandstandPushups_g08_c01.mp4"
    assert train.labels == (0, 2)


def test_ucf101s_numbers_from_one_do_not_shift_a_class(ucf101):
    """The folder determines the class, so lists that count from 0 give the same labels."""
    file = ucf101 / "ucfTrainTestlist" / "trainlist01.txt"
    file.write_text("Archery/v_Archery_g08_c01.avi 1\n")
    assert DataLayout(str(ucf101)).read("train").labels == (1,)


@pytest.fixture
def hmdb51(tmp_path):
    splits = tmp_path / "testTrainMulti_7030_splits"
    for fold, codes in {1: "120", 2: "201"}.items():
        for label in ("brush_hair", "shoot_bow"):
            lines = [
                f"{label}_{number}_#1_u_cm_np1_fr_med_0.avi {code} \n"
                for number, code in enumerate(codes)
            ]
            write(splits / f"{label}_test_split{fold}.txt", "".join(lines))
    for label in ("brush_hair", "shoot_bow"):
        touch(
            tmp_path / "hmdb51_org" / label,
            *(f"{label}_{number}_#1_u_cm_np1_fr_med_0.avi" for number in range(3)),
        )
    return tmp_path


@pytest.mark.parametrize(("fold", "trained", "tested"), [(1, 0, 1), (2, 2, 0)])
def test_hmdb51(hmdb51, fold, trained, tested):
    layout = DataLayout(str(hmdb51), fold=fold)
    in_test = {
        f"{label}/{label}_{tested}_#1_u_cm_np1_fr_med_0.avi": index
        for index, label in enumerate(("brush_hair", "shoot_bow"))
    }
    assert read_all(layout) == {
        "train": {key.replace(f"_{tested}_#", f"_{trained}_#"): in_test[key] for key in in_test},
        "val": in_test,
        "test": in_test,
    }
    assert layout.label_names() == ["brush_hair", "shoot_bow"]


def test_hmdb51_has_three_splits(hmdb51):
    with pytest.raises(
        ValueError, match=r"no files 'CLASS_test_split4.txt'; data.fold must be 1, 2"
    ):
        DataLayout(str(hmdb51), fold=4).read("train")


def test_hmdb51s_codes_are_checked(hmdb51):
    file = hmdb51 / "testTrainMulti_7030_splits" / "brush_hair_test_split1.txt"
    file.write_text("a.avi\t1\nb.avi 3\n")
    with pytest.raises(ValueError, match=r"'b.avi 3' at line 2 of 'brush_hair_test_split1.txt'"):
        DataLayout(str(hmdb51)).read("train")


@pytest.fixture
def diving48(tmp_path):
    vocabulary = [["Back", "15som", "05Twis", "FREE"], ["Back", "15som", "15Twis", "FREE"],
                  ["Reverse", "Dive", "NoTwis", "PIKE"]]  # fmt: skip
    write(tmp_path / "Diving48_vocab.json", vocabulary)
    for split, videos in {"train": {"a_00155": 2, "a_00156": 0}, "test": {"b_00000": 1}}.items():
        entries = [
            {"vid_name": name, "label": label, "start_frame": 0, "end_frame": 97}
            for name, label in videos.items()
        ]
        write(tmp_path / f"Diving48_V2_{split}.json", entries)
    touch(tmp_path / "rgb", "a_00155.mp4", "a_00156.mp4", "b_00000.mp4")
    return tmp_path


def test_diving48(diving48):
    layout = DataLayout(str(diving48))
    assert read_all(layout) == {
        "train": {"a_00155.mp4": 2, "a_00156.mp4": 0},
        "val": {"b_00000.mp4": 1},
        "test": {"b_00000.mp4": 1},
    }
    assert layout.label_names()[2] == "Reverse Dive NoTwis PIKE"


def test_diving48_without_its_vocabulary_has_numbers(diving48):
    (diving48 / "Diving48_vocab.json").unlink()
    layout = DataLayout(str(diving48))
    assert layout.read("train").labels == (2, 0)
    assert layout.label_names() == ["0", "1", "2"]


def test_diving48s_labels_are_whole_numbers(diving48):
    write(diving48 / "Diving48_V2_train.json", [{"vid_name": "a_00155", "label": "2"}])
    with pytest.raises(ValueError, match=r"'a_00155' the label '2'; .* integers"):
        DataLayout(str(diving48)).read("train")


@pytest.fixture
def breakfast(tmp_path):
    touch(
        tmp_path / "BreakfastII_15fps_qvga_sync",
        "P03/cam01/P03_cereals.avi",
        "P03/cam01/P03_cereals.avi.labels",
        "P15/webcam02/P15_tea.avi",
        "P16/stereo/P16_cereals_ch0.avi",
        "P16/stereo/P16_cereals_ch1.avi",
        "P54/stereo/P54_tea_ch1.avi",
    )
    return tmp_path


def test_breakfast(breakfast):
    layout = DataLayout(str(breakfast))
    first = {"P03/cam01/P03_cereals.avi": 0, "P15/webcam02/P15_tea.avi": 1}
    others = {"P16/stereo/P16_cereals_ch0.avi": 0, "P54/stereo/P54_tea_ch1.avi": 1}
    assert read_all(layout) == {"train": others, "val": first, "test": first}
    assert layout.label_names() == ["cereals", "tea"]


def test_every_person_of_breakfast_is_tested_once(breakfast):
    layouts = [DataLayout(str(breakfast), fold=fold) for fold in (1, 2, 4)]
    tested = [path for layout in layouts for path in layout.read("test").paths]
    assert len(tested) == len(set(tested)) == 4
    with pytest.raises(ValueError, match=r"data.fold is 5; Breakfast's splits are 1 to 4"):
        DataLayout(str(breakfast), fold=5).read("test")


def test_files_not_named_as_in_breakfast_are_reported(breakfast, caplog):
    touch(breakfast, "BreakfastII_15fps_qvga_sync/P03/cam01/holiday.avi")
    assert len(DataLayout(str(breakfast)).read("test")) == 2
    assert "1 videos in" in caplog.text
    assert "P03/cam01/holiday.avi" in caplog.text


@pytest.fixture
def coin(tmp_path):
    def video(recipe, label, subset):
        step = {"id": "498", "segment": [16.0, 27.0], "label": "pull out the spring"}
        return {
            "video_url": "https://www.youtube.com/embed/x", "duration": 56.5, "start": 16.0,
            "end": 51.0, "recipe_type": recipe, "class": label, "subset": subset,
            "annotation": [step],
        }  # fmt: skip

    database = {
        "-8NaVGEccgc": video(10, "PutOnQuiltCover", "training"),
        "0a1b2c3d4e5": video(2, "SewOnAButton", "training"),
        "zzzzzzzzzzz": video(10, "PutOnQuiltCover", "testing"),
    }
    write(tmp_path / "COIN.json", {"database": database})
    touch(tmp_path / "videos", "10/-8NaVGEccgc.mp4", "2/0a1b2c3d4e5.mp4", "10/zzzzzzzzzzz.mp4")
    return tmp_path


def test_coin(coin):
    layout = DataLayout(str(coin))
    assert read_all(layout) == {
        "train": {"10/-8NaVGEccgc.mp4": 1, "2/0a1b2c3d4e5.mp4": 0},
        "val": {"10/zzzzzzzzzzz.mp4": 1},
        "test": {"10/zzzzzzzzzzz.mp4": 1},
    }
    assert layout.label_names() == ["SewOnAButton", "PutOnQuiltCover"], "ordered by recipe_type"


def test_coins_classes_have_one_number_each(coin):
    database = json.loads((coin / "COIN.json").read_text())["database"]
    database["zzzzzzzzzzz"]["recipe_type"] = 11
    write(coin / "COIN.json", {"database": database})
    with pytest.raises(ValueError, match="'PutOnQuiltCover' the recipe_type 11 in the entry 'zzz"):
        DataLayout(str(coin)).read("train")


@pytest.mark.parametrize("subset", [None, 3, ["training"], {}, True])
def test_coins_subsets_are_names(coin, subset):
    database = json.loads((coin / "COIN.json").read_text())["database"]
    database["zzzzzzzzzzz"]["subset"] = subset
    write(coin / "COIN.json", {"database": database})
    message = rf"lists 'zzzzzzzzzzz' in the subset {re.escape(repr(subset))}; COIN's"
    with pytest.raises(ValueError, match=message):
        DataLayout(str(coin)).read("train")


HEADER = "label,youtube_id,time_start,time_end,split\n"


def kinetics(root, train, val):
    write(root / train, HEADER + "zumba,AAAAAAAAAAA,12,22,train\ncrying,_B-BBBBBBBB,0,10,train\n")
    write(root / val, HEADER + "zumba,AAAAAAAAAAA,31,41,val\n")


def test_kinetics_in_the_layout_of_its_largest_mirror(tmp_path):
    kinetics(tmp_path, "annotations/train.csv", "annotations/val.csv")
    touch(
        tmp_path,
        "train/zumba/AAAAAAAAAAA_000012_000022.mp4",
        "train/crying/_B-BBBBBBBB_000000_000010.mp4",
        "val/AAAAAAAAAAA_000031_000041.mp4",
    )
    read = read_all(DataLayout(str(tmp_path)))
    assert list(read["train"].values()) == [1, 0]
    assert read["val"] == read["test"] == {"val/AAAAAAAAAAA_000031_000041.mp4": 1}


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("train.txt", "val.txt"),
        ("kinetics700_train.csv", "kinetics700_val.csv"),
        ("kinetics-600_train.csv", "kinetics-600_val.csv"),
        ("train.csv", "validate.csv"),
    ],
)
@pytest.mark.parametrize("name", ["{0}_{1:06d}_{2:06d}.mp4", "{0}_{1}_{2}.mkv"])
def test_kinetics_under_its_usual_names(tmp_path, train, val, name):
    kinetics(tmp_path, train, val)
    files = [name.format("AAAAAAAAAAA", 12, 22), name.format("_B-BBBBBBBB", 0, 10)]
    touch(tmp_path / "videos", *files, name.format("AAAAAAAAAAA", 31, 41))
    assert DataLayout(str(tmp_path)).read("train").paths == tuple(f"videos/{f}" for f in files)


def test_a_file_named_by_its_video_id_is_not_used_for_two_clips(tmp_path):
    write(
        tmp_path / "train.csv",
        HEADER + "zumba,AAAAAAAAAAA,12,22,train\ncrying,AAAAAAAAAAA,50,60,train\n"
        "crying,BBBBBBBBBBB,0,10,train\n",
    )
    touch(tmp_path, "AAAAAAAAAAA.mp4", "BBBBBBBBBBB.mp4")
    videos = DataLayout(str(tmp_path), allow_missing=0.7).read("train")
    assert videos.paths == ("BBBBBBBBBBB.mp4",)
    assert videos.missing == ("AAAAAAAAAAA_000012_000022", "AAAAAAAAAAA_000050_000060")


def test_kinetics_in_one_file_is_split_by_its_column(tmp_path):
    write(
        tmp_path / "all.csv",
        HEADER + "a,AAAAAAAAAAA,0,10,train\na,BBBBBBBBBBB,0,10,validate\nb,CCCCCCCCCCC,0,10,test\n",
    )
    for split, video in {"train": "AAA", "val": "BBB", "test": "CCC"}.items():
        entries = read_entries(tmp_path / "all.csv", FORMATS["kinetics"], split=split)
        assert [entry.video[:3] for entry in entries] == [video]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("path,label", "{path},{label}"),
        ("File_Name;views;CLASS", "{path};17;{label}"),
        ("id\tvideo_path\tcategory", "99\t{path}\t{label}"),
        ("label,label_id,file", '"{label}",5,"{path}"'),
    ],
)
def test_any_table_with_a_path_and_a_label(tmp_path, header, row):
    videos = {"clips/my dog.mp4": "run", "clips/2.mp4": "jump"}
    for split in ("train", "val"):
        rows = [row.format(path=path, label=label) for path, label in videos.items()]
        write(tmp_path / f"{split}.csv", "\ufeff" + "\n".join([header, *rows, ""]))
    touch(tmp_path, *videos)
    layout = DataLayout(str(tmp_path))
    assert layout.read("train").paths == tuple(videos)
    assert layout.read("train").labels == (1, 0)
    assert layout.label_names() == ["jump", "run"]


def test_a_table_of_all_splits(tmp_path):
    write(
        tmp_path / "metadata.csv",
        "file_name,label,split\n1,a,train\n2,b,training\n3,b,validation\n4,a,test\n",
    )
    touch(tmp_path / "videos", "1.mp4", "2.mp4", "3.mp4", "4.mp4")
    assert read_all(DataLayout(str(tmp_path))) == {
        "train": {"1.mp4": 0, "2.mp4": 1},
        "val": {"3.mp4": 1},
        "test": {"4.mp4": 0},
    }


def test_a_table_without_splits_is_used_for_training_alone(tmp_path):
    write(tmp_path / "metadata.csv", "file_name,label\n1.mp4,a\n")
    touch(tmp_path, "1.mp4")
    assert len(DataLayout(str(tmp_path)).read("train")) == 1
    with pytest.raises(FileNotFoundError, match=r"no annotations of the val split .*data.val"):
        DataLayout(str(tmp_path)).read("val")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,label\na.mp4\n", "has 1 values at line 2 and 2 columns"),
        ("path,label\n,x\n", "names no video at line 2"),
        ("path,label,path\na,b,c\n", "two columns 'path'"),
        ("path,label\n", "lists no videos"),
        ("name,size\na.mp4,3\n", "columns name, size; it needs one for the path"),
    ],
)
def test_tables_that_are_not_clear_are_refused(tmp_path, content, message):
    write(tmp_path / "train.csv", content)
    with pytest.raises(ValueError, match=message):
        read_entries(tmp_path / "train.csv", FORMATS["csv"])


def test_lists_of_frame_folders(tmp_path):
    write(tmp_path / "train_videofolder.txt", "78687 3 1\n42 2 0\n")
    write(tmp_path / "val_videofolder.txt", "7 1 1\n")
    write(tmp_path / "category.txt", "Holding something\nThrowing something\n")
    names = ["78687/00001.jpg", "78687/00002.jpg", "78687/00003.jpg", "42/00001.jpg",
             "42/00002.jpg", "7/00001.jpg"]  # fmt: skip
    touch(tmp_path / "20bn-something-something-v2-frames", *names)
    layout = DataLayout(str(tmp_path), frame_template="{:05d}.jpg")
    train = layout.read("train")
    assert (train.paths, train.labels, train.listed_frames) == (("78687", "42"), (1, 0), (3, 2))
    assert train.frame_template == "{:05d}.jpg"
    assert layout.label_names()[1] == "Throwing something"


@pytest.mark.parametrize("line", ["78687 0 1", "78687 many 1", "78687 3"])
def test_lists_of_frame_folders_promise_frames(tmp_path, line):
    write(tmp_path / "train.txt", f"1 3 0\n{line}\n")
    with pytest.raises(
        ValueError, match=f"reads '{line}' at line 2; a line must be 'folder num_frames"
    ):
        read_entries(tmp_path / "train.txt", FORMATS["frames"])


def test_class_folders_of_frame_folders(tmp_path):
    touch(tmp_path, "train/wave/1/img_00001.jpg", "train/nod/x/2/00000.png", "train/nod/3.mp4",
          "train/wave/4.avi/00001.jpg")  # fmt: skip
    train = DataLayout(str(tmp_path), val="train").read("train")
    assert train.paths == ("nod/3.mp4", "nod/x/2", "wave/1", "wave/4.avi")
    assert train.labels == (0, 0, 1, 1)
    assert find_videos(tmp_path / "train") == ["nod/3.mp4"]


def test_images_without_separate_folders_are_refused(tmp_path):
    touch(tmp_path, "train/wave/00001.jpg", "train/wave/00002.jpg")
    with pytest.raises(ValueError, match=r"has pictures directly in 'wave'; .* CLASS/VIDEO/"):
        DataLayout(str(tmp_path), val="train").read("train")


def test_something_something_as_frames(tmp_path):
    write(tmp_path / "labels.json", {"Holding something": "0"})
    for split in ("train", "validation"):
        write(tmp_path / f"{split}.json", [{"id": "78687", "template": "Holding [something]"}])
    touch(tmp_path, "frames/78687/000001.jpg")
    assert DataLayout(str(tmp_path)).read("train").path(0) == str(tmp_path / "frames" / "78687")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.json", '[{"id": "1"}]', "ssv2"),
        ("a.json", '\n[ {"label": 3, "vid_name": "x"}]', "diving48"),
        ("a.json", '{\n "database": {', "coin"),
        ("a.txt", HEADER, "kinetics"),
        ("a.csv", "youtube_id,time_start,time_end,split\n", "kinetics"),
        ("a.txt", "Archery/v_Archery_g01_c01.avi\n", "ucf101"),
        ("a.txt", "archery/v_my_video.avi 0\n", "list"),
        ("a.csv", "label,path\n", "csv"),
        ("a.csv", "label of mine.mp4,path\n", "list"),
        ("a.txt", "\n78687 60 3\n", "frames"),
        ("a.txt", "my 12 3.mp4 0\n", "list"),
        ("a.txt", "clip 7.mp4 60 3\n", "list"),
        ("a.txt", "", "list"),
    ],
)
def test_the_format_is_recognised_from_the_file(tmp_path, name, content, expected):
    write(tmp_path / name, content)
    assert detect_format(tmp_path / name).name == expected


@pytest.mark.parametrize("name", ["ucf101", "hmdb51", "diving48", "breakfast", "coin"])
def test_the_recognised_format_is_logged(name, request, caplog):
    root = request.getfixturevalue(name)
    with caplog.at_level(logging.INFO):
        layout = DataLayout(str(root))
        layout.read("train")
        layout.read("val")
    assert re.search(rf"data.format: '\S+' is read as {name}\.", caplog.text)
    assert caplog.text.count("no validation split: the test split is used instead") == 1
    assert DataLayout(str(root), annotation_format=name).read("train") == layout.read("train")
    assert [layout.read(split).split for split in ("train", "val", "test")] == [
        "train", "test", "test"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "scored"),
    [(("train", "val"), ("val", "val")), (("train", "test"), ("test", "test")),
     (("train", "val", "test"), ("val", "test"))],
)  # fmt: skip
def test_a_split_of_a_table_that_stands_in_for_another_is_known(tmp_path, rows, scored):
    lines = [f"{number}.mp4,a,{split}" for number, split in enumerate(rows)]
    write(tmp_path / "metadata.csv", "path,label,split\n" + "\n".join(lines))
    touch(tmp_path, *(f"{number}.mp4" for number in range(len(rows))))
    layout = DataLayout(str(tmp_path))
    assert tuple(layout.read(split).split for split in ("val", "test")) == scored


@pytest.mark.parametrize("name", ["ucf101", "hmdb51", "diving48", "coin"])
def test_missing_videos_of_every_format_keep_their_labels(name, request):
    root = request.getfixturevalue(name)
    layout = DataLayout(str(root), allow_missing=0.5)
    before = layout.read("train")
    (root / before.path(0)).unlink()
    after = layout.read("train")
    assert after.paths == before.paths[1:]
    assert after.labels == before.labels[1:]
    assert after.missing_labels == before.labels[:1]
    assert len(after.missing) == 1
    with pytest.raises(FileNotFoundError, match=r"1 of the 2 videos"):
        DataLayout(str(root)).read("train")
