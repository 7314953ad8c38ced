"""Annotations of time intervals, from tables and from the exports of annotation tools."""

import json

import pytest

from pks4_lightning.data.annotations.layout import DataLayout
from pks4_lightning.data.annotations.reading import detect_format, read_entries
from pks4_lightning.data.video.span import Span

LABEL_STUDIO = [
    {
        "id": 7,
        "data": {"video": "/data/upload/1/0a1b2c3d-walk%20one.mp4"},
        "annotations": [
            {
                "result": [
                    {
                        "type": "timelinelabels",
                        "value": {"ranges": [{"start": 1, "end": 25}], "timelinelabels": ["go"]},
                    },
                    {"type": "labels", "value": {"start": 1.5, "end": 2, "labels": ["stop"]}},
                    {"type": "videorectangle", "value": {"sequence": [], "labels": ["a box"]}},
                ]
            },
            {"was_cancelled": True, "result": [{"type": "choices", "value": {"choices": ["x"]}}]},
        ],
    },
    {
        "id": 8,
        "data": {"video": "/data/local-files/?d=media/run.mp4"},
        "annotations": [{"result": [{"type": "choices", "value": {"choices": ["go"]}}]}],
    },
]
CVAT_TRACKS = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
<meta><task><id>3</id><name>job</name><source>walk one.mp4</source></task></meta>
<track id="0" label="go" source="manual">
  <box frame="0" outside="0" xtl="1" ytl="1" xbr="2" ybr="2"/>
  <box frame="25" outside="1" xtl="1" ytl="1" xbr="2" ybr="2"/>
  <box frame="40" outside="0" xtl="1" ytl="1" xbr="2" ybr="2"/>
  <box frame="50" outside="1" xtl="1" ytl="1" xbr="2" ybr="2"/>
</track></annotations>"""
CVAT_TAGS = """<annotations><meta><job><id>5</id><source>run.mp4</source></job></meta>
<image id="4" name="frame_000004"><tag label="go" source="manual"></tag></image>
<image id="5" name="frame_000005"><tag label="go"/><tag label="stop"/></image>
<image id="8" name="frame_000008"><tag label="go"/></image></annotations>"""
VIA_CSV = (
    "# Exported using VGG Image Annotator\n"
    '# ATTRIBUTE = {"1":{"aname":"what","options":{"0":"go","1":"stop"}},"2":{"options":{}}}\n'
    "# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata\n"
    '"1_a","[""walk one.mp4""]",0,"[0.5,1.25]","[]","{""1"":""1""}"\n'
    '"1_b","[""walk one.mp4""]",0,"[0.7]","[2,1,1,5,5]","{""1"":""0""}"\n'
    '"1_c","[""walk one.mp4""]",0,"[1.25,2]","[]","{""2"":""free text""}"\n'
)
VIA_PROJECT = {
    "project": {"pid": "__VIA_PROJECT_ID__"},
    "attribute": {"1": {"aname": "what", "options": {"0": "go", "1": "stop"}}},
    "file": {"9": {"fid": "9", "fname": "run.mp4"}},
    "view": {"1": {"fid_list": ["9"]}},
    "metadata": {
        "1_x": {"vid": "1", "z": [0.5, 1.5], "xy": [], "av": {"1": "0"}},
        "1_y": {"vid": "1", "z": [0.5], "xy": [2, 1, 1, 5, 5], "av": {"1": "0"}},
    },
}
BORIS = (
    "Observation id,Media file,Total length,FPS,Subject,Behavior,Behavior type,Start (s),Stop (s)\n"
    "one,T:\\Lab\\walk one.mp4,60.0,25,,go,STATE,0.500,2.000\n"
    "one,T:\\Lab\\walk one.mp4,60.0,25,,blink,POINT,1.000,1.000\n"
)
CASES = {
    "label_studio": (
        "train.json",
        json.dumps(LABEL_STUDIO),
        [
            ("walk one.mp4", "go", Span(0, 25, "frames")),
            ("walk one.mp4", "stop", Span(1.5, 2)),
            ("run.mp4", "go", None),
        ],
    ),
    "cvat": (
        "train.xml",
        CVAT_TRACKS,
        [
            ("walk one.mp4", "go", Span(0, 25, "frames")),
            ("walk one.mp4", "go", Span(40, 50, "frames")),
        ],
    ),
    "cvat tags": (
        "train.xml",
        CVAT_TAGS,
        [
            ("run.mp4", "go", Span(4, 6, "frames")),
            ("run.mp4", "stop", Span(5, 6, "frames")),
            ("run.mp4", "go", Span(8, 9, "frames")),
        ],
    ),
    "via": (
        "train.csv",
        VIA_CSV,
        [
            ("walk one.mp4", "stop", Span(0.5, 1.25)),
            ("walk one.mp4", "free text", Span(1.25, 2)),
        ],
    ),
    "via project": (
        "train.json", json.dumps(VIA_PROJECT), [("run.mp4", "go", Span(0.5, 1.5))],
    ),
    "boris": ("train.csv", BORIS, [("walk one.mp4", "go", Span(0.5, 2))]),
    "intervals": (
        "train.csv",
        "video;start;end;label;score\nrun.mp4;0.5;0:01.5;go;0.9\nwalk one.mp4;0:00:02;3;stop;1\n",
        [("run.mp4", "go", Span(0.5, 1.5)), ("walk one.mp4", "stop", Span(2, 3))],
    ),
    "intervals in frames": (
        "train.csv",
        "video,start_frame,end_frame,label\nrun.mp4,5,15,go\nrun.mp4,15,30,stop\n",
        [("run.mp4", "go", Span(5, 15, "frames")), ("run.mp4", "stop", Span(15, 30, "frames"))],
    ),
}  # fmt: skip


def changed(document, path, value):
    """A JSON document with another value at a path."""
    document = json.loads(json.dumps(document))
    *outer, last = path
    part = document
    for key in outer:
        part = part[key]
    part[last] = value
    return json.dumps(document)


RESULT = (0, "annotations", 0, "result")
TASKS = [
    (changed(LABEL_STUDIO, path, value), message)
    for path, value, message in (
        ((*RESULT, 1, "value", "start"), "abc", "gives the time 'abc' at task 7"),
        ((*RESULT, 1, "value", "end"), None, "gives the time 'None' at task 7"),
        ((*RESULT, 0, "value", "ranges", 0, "start"), [1], "gives the time '[1]' at task 7"),
        ((*RESULT, 0, "value", "ranges", 0, "end"), float("inf"), "to inf frames at task 7"),
        ((*RESULT, 0, "value", "timelinelabels"), "go", "Task 1 of"),
        ((*RESULT, 1, "value", "labels"), [3], "Task 1 of"),
        ((0, "data"), {}, "Task 1 of"),
        ((0, "data", "video"), None, "Task 1 of"),
        ((0, "data", "video"), "http://[a", "Task 1 of"),
        ((0, "data", "video"), "", "gives the video '' at task 7"),
    )
]
SEGMENTS = [
    (changed(VIA_PROJECT, path, value), message)
    for path, value, message in (
        (("metadata", "1_x", "z"), [0, "abc"], "gives the time 'abc' at metadata 1_x"),
        (("metadata", "1_x", "z"), [0, None], "gives the time 'None' at metadata 1_x"),
        (("metadata", "1_x", "z"), [2, 1], "from 2 to 1 seconds at metadata 1_x"),
        (("metadata", "1_x", "z"), 3, "CSV export: at metadata 1_x, it lacks"),
        (("metadata", "1_x", "av"), {"1": [0]}, "CSV export: at metadata 1_x, it lacks"),
        (("metadata", "1_x", "vid"), [1], "CSV export: at metadata 1_x, it lacks"),
        (("file", "9", "fname"), 3, "gives the video 3 at metadata 1_x"),
        (("view",), None, "CSV export: at metadata 1_x, it lacks"),
    )
]


@pytest.fixture
def root(tmp_path):
    for name in ("walk one.mp4", "run.mp4"):
        (tmp_path / "videos" / "deep").mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / name).touch()
    return tmp_path


@pytest.mark.parametrize("case", CASES)
def test_each_export_is_recognised_and_its_intervals_are_found(root, case):
    name, content, expected = CASES[case]
    (root / name).write_text(content)
    assert detect_format(root / name).name == case.split()[0]
    layout = DataLayout(str(root), train=name)
    videos = layout.read("train")
    names = layout.label_names()
    found = [
        (videos.paths[i], names[label], videos.span(i)) for i, label in enumerate(videos.labels)
    ]
    assert found == expected
    assert len({videos.key(i) for i in range(len(videos))}) == len(videos)


def test_files_of_the_usual_names_are_found_by_themselves(root):
    (root / "train.xml").write_text(CVAT_TRACKS)
    (root / "val.xml").write_text(CVAT_TAGS.replace("stop", "go"))
    layout = DataLayout(str(root), annotation_format="cvat")
    assert len(layout.read("train")) == 2
    assert layout.read("val").spans == (Span(4, 6, "frames"), Span(8, 9, "frames"))


def test_a_column_separates_the_splits(root):
    rows = ["run.mp4,0,1,go,train", "run.mp4,1,2,go,validation", "run.mp4,2,3,go,train"]
    (root / "train.csv").write_text("\n".join(["video,start,end,label,split", *rows]))
    layout = DataLayout(str(root), train="train.csv", val="train.csv")
    assert layout.read("train").spans == (Span(0, 1), Span(2, 3))
    assert layout.read("val").spans == (Span(1, 2),)


def test_a_selection_of_videos_keeps_its_intervals(root):
    (root / "train.csv").write_text(CASES["intervals"][1])
    videos = DataLayout(str(root), train="train.csv").read("train")
    assert videos.only([1]).spans == (Span(2, 3),)
    assert videos.name(1).endswith("videos/walk one.mp4#t=2,3")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (
            "a.csv",
            "video,start,end,label\nx.mp4,2,1,go\n",
            "from 2 to 1 seconds at line 2; it",
        ),
        ("a.csv", "video,start,end,label\nx.mp4,-1,1,go\n", "from -1 to 1 seconds at line 2"),
        ("a.csv", "video,start,end,label\nx.mp4,soon,1,go\n", "the time 'soon' at line 2; times"),
        ("a.csv", "video,start,end,label\n,0,1,go\n", "names no video at line 2"),
        ("a.csv", "video,start,end,label\nx.mp4,nan,1,go\n", "from nan to 1 seconds at line 2"),
        ("a.json", '[{"id": 1, "annotations": [{"result": [{}]}]}]', "Task 1 of"),
        (
            "a.json",
            '{"project": {"pid": "1"}, "metadata": 3}',
            "neither a VIA 3 project nor its CSV",
        ),
        ("a.xml", "<annotations><track id='1'></track></annotations>", "not an XML export of CVAT"),
        ("a.xml", "<annotations>", "not an XML export of CVAT: no element"),
        (
            "a.xml",
            '<!DOCTYPE x [<!ENTITY a "b">]><annotations>&a;</annotations>',
            "it declares entities, which CVAT exports never",
        ),
        ("a.xml", "<annotations></annotations>", "lists no videos"),
        ("a.csv", BORIS.replace("Media file", "Observed"), "has no column 'Media file'"),
        *(("a.json", *case) for case in TASKS),
        *(("a.json", *case) for case in SEGMENTS),
        *(
            ("a.csv", VIA_CSV.replace(*change), "VIA 3 project nor its CSV export: at line 4")
            for change in (
                ("[0.5,1.25]", "[" * 100_000),
                ("[0.5,1.25]", "9" * 5000),
                ('[""walk one.mp4""]', "[]", 1),
                ('{""1"":""1""}', '{""1"":[1]}'),
            )
        ),
        ("a.csv", VIA_CSV.replace("0.5,1.25", "0.5,true"), "the time 'True' at line 4"),
        ("a.xml", CVAT_TRACKS.replace('"25"', '"soon"'), "gives the frame 'soon' in line 6"),
        ("a.xml", CVAT_TRACKS.replace('"25"', '"-1"'), "gives the frame '-1' in line 6"),
        ("a.xml", CVAT_TRACKS.replace('"25"', f'"{10**12}"'), "the frame '1000000000000' in line"),
        ("a.xml", CVAT_TAGS.replace('id="4"', 'id="x"'), "gives the frame 'x' in line 2"),
        ("a.xml", CVAT_TAGS.replace("run.mp4", ""), "gives the video '' at frame 4"),
    ],
)
def test_errors_are_one_sentence(tmp_path, name, content, reason):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match="a\\.") as caught:
        read_entries(tmp_path / name, detect_format(tmp_path / name))
    assert len(str(caught.value)) < 500
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
