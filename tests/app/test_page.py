"""The whole page, used through a browser."""

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import pks4_lightning
from tests.conftest import ROOT
from tests.helpers.browser import browser, find_chromium
from tests.helpers.media import Clip, write_clip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("gradio") is None, reason="needs Gradio: pip install '.[app]'"
    ),
    pytest.mark.skipif(find_chromium() is None, reason="needs Chromium: apt-get install chromium"),
]
PHONE = {"width": 390, "height": 844}
ANSWERED = (
    "!!document.querySelector('.pks4-labels, .pks4-refusal')"
    " && !document.body.innerText.includes('Looking')"
)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A clip of twelve seconds, three times the model's window of four."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip", Clip(".mp4", num_frames=300))


@pytest.fixture(scope="module")
def served(trained, tmp_path_factory):
    """The page's address and the folder of its temporary files."""
    folder = tmp_path_factory.mktemp("temporary")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "pks4_lightning", "app", "--device", "cpu", "--port"]
    command += [str(port), "--max_megabytes", "1"]
    command += ["--ckpt_path", str(trained / "checkpoints" / "best.ckpt")]
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            assert line == f"Open http://127.0.0.1:{port}/ in a browser; press Ctrl-C to stop.\n"
            yield f"http://127.0.0.1:{port}/", folder
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
    assert not list(folder.iterdir())  # the app removes everything it wrote
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        pytest.fail("it listens still")


@pytest.fixture(scope="module")
def tabs():
    with browser() as opened:
        yield opened


def left_over(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def wait_until_removed(folder):
    end = time.monotonic() + 20
    while left_over(folder):
        assert time.monotonic() < end, left_over(folder)
        time.sleep(0.1)


@pytest.mark.parametrize(
    "looks",
    [{}, {"dark": True}, PHONE, {**PHONE, "dark": True}],
    ids=["light", "dark", "phone", "dark phone"],
)
def test_a_clip_is_answered_with_frames_priors_and_timeline(
    served, tabs, clip, trained, tmp_path, looks
):
    address, folder = served
    page = tabs.open(address, **looks)
    page.upload(clip)
    page.wait_for("document.querySelectorAll('.pks4-picture svg').length === 2")
    best, *_ = pks4_lightning.load(trained / "checkpoints" / "best.ckpt").predict(clip)
    assert page.text(".pks4-best") == f"{best.name}\n{best.score:.1%}"
    assert page.run("document.querySelectorAll('.pks4-labels li').length") == 5
    assert page.run("document.querySelectorAll('.pks4-classes li').length") == 8
    assert page.run("document.querySelectorAll('.pks4-frames img').length") == 4
    assert page.text("#timeline").startswith("What happens when")
    # text in figures has the page's colour, and nothing is wider than the screen
    colours = "getComputedStyle(document.querySelector('{}')).{}"
    letters = page.run(colours.format("#priors text", "fill"))
    assert letters == page.run(colours.format(".pks4-file", "color"))
    assert page.run("document.documentElement.scrollWidth") <= looks.get("width", 1200)
    wait_until_removed(folder)
    page.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 20_000


def test_nothing_is_loaded_from_other_hosts(served, tabs, clip):
    address, _ = served
    page = tabs.open(address)
    page.upload(clip)
    page.wait_for(ANSWERED)
    foreign = [
        asked for asked in page.requests() if not asked.startswith((address, "data:", "blob:"))
    ]
    assert not foreign
    assert not page.complaints()
    with urllib.request.urlopen(address) as answer:
        policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';")
    # the content security policy that the browser obeys
    blocked = page.run("fetch('https://example.org/x').then(() => 'loaded', () => 'blocked')")
    assert blocked == "blocked"
    assert any("Content Security Policy" in complaint for complaint in page.complaints())


def test_a_bad_file_gives_one_sentence_and_the_page_stays_usable(served, tabs, clip, tmp_path):
    address, folder = served
    page = tabs.open(address)
    damaged, big = tmp_path / "${1+1}{{value}}<i>.mp4", tmp_path / "big.mp4"
    damaged.write_bytes(clip.read_bytes()[:3000])
    big.write_bytes(bytes(1_500_000))
    page.upload(damaged)
    page.wait_for(ANSWERED)
    assert page.text("#answer").startswith("Cannot decode video '${1+1}{{value}}<i>.mp4': ")
    page.upload(big)
    page.wait_for("!!document.querySelector('.toast-body')")
    assert "exceed the maximum allowed size of 1.0 Mb" in page.text(".toast-body")
    page.upload(clip)
    page.wait_for("!!document.querySelector('.pks4-labels')")
    wait_until_removed(folder)


def test_simultaneous_uploads_of_the_same_file_are_all_answered(served, tabs, clip):
    address, folder = served
    pages = [tabs.open(address) for _ in range(4)]
    for page in pages:
        page.upload(clip)
    answers = []
    for page in pages:
        page.wait_for(ANSWERED)
        answers.append(page.text("#answer"))
    assert "12.0 s, 300 frames" in answers[0]
    assert set(answers) == {answers[0]}
    wait_until_removed(folder)


def test_a_camera_recording_is_answered(served, tabs):
    address, folder = served
    page = tabs.open(address)
    press = "[...document.querySelectorAll('{}')].find(e => e.innerText.includes('{}')).click()"
    page.wait_for("!!document.querySelector('#file')")
    page.run(press.format("button[role=tab]", "Camera"))
    page.wait_for("document.querySelector('#camera')?.innerText.includes('Access')")
    page.run(press.format("#camera button", "Access"))
    page.wait_for("document.querySelector('#camera')?.innerText.includes('Record')")
    page.run(press.format("#camera button", "Record"))
    time.sleep(3)
    page.run(press.format("#camera button", "Stop"))
    page.wait_for(ANSWERED)
    assert ".webm" in page.text("#answer")
    wait_until_removed(folder)


def test_a_custom_client_cannot_exceed_limits_or_read_files(served):
    """Uploads that are too large are refused; the machine's files are neither read nor removed."""
    address, folder = served
    boundary = "x" * 20
    body = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n'
    data = body.encode() + bytes(1_500_000) + f"\r\n--{boundary}--\r\n".encode()
    request = urllib.request.Request(
        f"{address}gradio_api/upload",
        data,
        {"Content-Type": f"multipart/form-data; boundary={boundary}"},
    )
    with pytest.raises(urllib.error.HTTPError, match="413"):
        urllib.request.urlopen(request)
    wait_until_removed(folder)

    with urllib.request.urlopen(f"{address}config") as answer:
        (first, *_) = [each for each in json.load(answer)["dependencies"] if each["inputs"]]
    secret = folder.parent / "secret.mp4"
    secret.write_bytes(b"secret")
    event = {
        "data": [{"path": str(secret), "meta": {"_type": "gradio.FileData"}}],
        "fn_index": first["id"],
        "session_hash": "made-up",
    }
    request = urllib.request.Request(
        f"{address}gradio_api/queue/join",
        json.dumps(event).encode(),
        {"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request).close()
    with urllib.request.urlopen(
        f"{address}gradio_api/queue/data?session_hash=made-up", timeout=20
    ) as answer:
        said = next(line for line in answer if b"process_completed" in line)
    assert b'"success":false' in said.replace(b" ", b"") or b"drop the video again" in said
    assert secret.read_bytes() == b"secret"
    for path in (secret, Path("/etc/hostname")):
        with pytest.raises(urllib.error.HTTPError, match=r"40[34]"):
            urllib.request.urlopen(f"{address}gradio_api/file={path}")
