"""Paths in annotation files that leave the folder of the videos are refused by name."""

import os
import socket
import sys

import pytest

from pks4_lightning.data.annotations.paths import UnsafePathError, check_name, file_inside

HOSTILE = {
    "../secret.mp4": "leads out of the video folder",
    "a/../../secret.mp4": "leads out of the video folder",
    "a\\..\\..\\secret.mp4": "leads out of the video folder",
    "~/secret.mp4": "leads out of the video folder",
    "/etc/passwd": "is absolute",
    "/dev/zero": "is absolute",
    "C:\\secret.mp4": "is absolute",
    "\\\\host\\share\\secret.mp4": "is absolute",
    "concat:clip.mp4|../secret.mp4": "is a URL",
    "subfile,,start,0,end,0,,:../secret.mp4": "is a URL",
    "http://example.org/clip.mp4": "is a URL",
    "FILE:clip.mp4": "is a URL",
    "pipe:0": "is a URL",
    "data:video/mp4;base64,AAAA": "is a URL",
    "clip.mp4\0.txt": "control character",
    "clip\n.mp4": "control character",
    "clip\u202e4pm.exe": "changes the text direction",
    "a" * 300 + ".mp4": "304 bytes long",
    "a/" * 2500 + "clip.mp4": "5008 bytes long",
    "": "names no file",
    " ": "names no file",
    "./.": "names no file",
    "out.mp4": "is a link that leads out of",
    "linked/secret.mp4": "is a link that leads out of",
    "circle.mp4": "cannot be followed",
    "zero.mp4": "is a link that leads out of",
    "pipe.mp4": "is a pipe, not a file",
    "socket.mp4": "is a socket, not a file",
    "folder.mp4": "is a folder, not a file",
    "clip.mp4/x": "cannot be followed",
}
_opened: list[str] = []
_hooked = False


@pytest.fixture
def opened():
    """All paths that Python opens. An audit hook cannot be removed, so all tests share one."""
    global _hooked
    if not _hooked:
        sys.addaudithook(
            lambda event, args: _opened.append(str(args[0])) if event == "open" else None
        )
        _hooked = True
    _opened.clear()
    return _opened


@pytest.fixture
def root(tmp_path, monkeypatch):
    root = tmp_path / "videos"
    root.mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    (root / "clip.mp4").write_bytes(b"clip")
    (root / "out.mp4").symlink_to("../secret.mp4")
    (root / "linked").symlink_to(tmp_path)
    (root / "circle.mp4").symlink_to("circle.mp4")
    (root / "zero.mp4").symlink_to("/dev/zero")
    (root / "folder.mp4").mkdir()
    os.mkfifo(root / "pipe.mp4")
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket.mp4")
        yield root


@pytest.mark.parametrize("path", HOSTILE, ids=ascii)
def test_a_hostile_path_is_refused_by_name_and_never_opened(root, opened, path):
    with pytest.raises(UnsafePathError) as refusal:
        file_inside(root, path)
    assert HOSTILE[path] in str(refusal.value)
    for end in (path[:35], path[-35:]):
        assert (end if end.isprintable() else repr(end)[1:-1]) in str(refusal.value)
    assert str(refusal.value).count("\n") == 0
    assert not [name for name in opened if "secret" in name or str(root) in name]


@pytest.mark.parametrize(
    "path",
    [
        "clip.mp4",
        "./clip.mp4",
        "a/..clip.mp4",
        "12:30 talk, part 2.mp4",
        "été/日本.webm",
        "-k_9.mp4",
    ],
)
def test_a_harmless_name_is_returned_unchanged(path):
    assert check_name(path) == path


def test_links_within_the_folder_and_to_the_folder_are_followed(root, tmp_path):
    (root / "again.mp4").symlink_to("clip.mp4")
    (tmp_path / "shortcut").symlink_to(root)
    assert file_inside(tmp_path / "shortcut", "again.mp4") == root / "clip.mp4"


def test_an_absent_file_is_named(root):
    with pytest.raises(FileNotFoundError, match=r"no file 'gone\.mp4' in"):
        file_inside(root, "gone.mp4")
