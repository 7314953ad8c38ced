"""Control Chromium through its debugging pipe, which needs only the browser."""

import base64
import fcntl
import json
import os
import shutil
import signal
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

_READS, _WRITES = 3, 4  # file descriptors on which Chromium reads commands and writes answers
_OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--no-first-run", "--hide-scrollbars", "--remote-debugging-pipe",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
)  # fmt: skip


def find_chromium():
    """Return the browser's path, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def browser():
    """Start Chromium and yield a `Browser`."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        theirs_in, ours_out = map(_out_of_the_way, os.pipe())
        ours_in, theirs_out = map(_out_of_the_way, os.pipe())
        program = find_chromium()
        silent = os.open(os.devnull, os.O_RDWR)
        pid = os.posix_spawn(
            program,
            [program, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"],
            {**os.environ, "HOME": profile},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, silent, 1),
                (os.POSIX_SPAWN_DUP2, silent, 2),
                (os.POSIX_SPAWN_DUP2, theirs_in, _READS),
                (os.POSIX_SPAWN_DUP2, theirs_out, _WRITES),
            ],
            setpgroup=0,
        )
        for descriptor in (theirs_in, theirs_out, silent):
            os.close(descriptor)
        try:
            yield Browser(ours_in, ours_out)
        finally:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(ours_in)
            os.close(ours_out)


class Browser:
    """A running Chromium."""

    def __init__(self, reads, writes):
        self._reads, self._writes = reads, writes
        self._buffer = b""
        self._number = 0
        self.events = []

    def open(self, address, *, width=1200, height=900, dark=False):
        """Open a page in a new tab."""
        target = self.send("Target.createTarget", {"url": "about:blank"})["targetId"]
        attached = self.send("Target.attachToTarget", {"targetId": target, "flatten": True})
        page = Tab(self, attached["sessionId"])
        for domain in ("Page", "Network", "Runtime", "Log", "DOM"):
            page.send(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        page.send("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.send("Emulation.setEmulatedMedia", {"features": [scheme]})
        page.send("Page.navigate", {"url": address})
        return page

    def send(self, method, params=None, session=None):
        """Send a command and wait for its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params or {}}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._writes, data) :]
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def _receive(self):
        while b"\0" not in self._buffer:
            part = os.read(self._reads, 1 << 20)
            assert part, "Chromium has ended"
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(line)


class Tab:
    """A tab with a page."""

    def __init__(self, browser, session):
        self._browser, self._session = browser, session

    def send(self, method, params=None):
        """Send a command to this page."""
        return self._browser.send(method, params, self._session)

    def run(self, script):
        """Evaluate an expression in the page, and return its value."""
        given = {"expression": script, "returnByValue": True, "awaitPromise": True}
        answer = self.send("Runtime.evaluate", given)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, script, *, seconds=60):
        """Wait until an expression is true in the page, and return its value."""
        end = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < end, f"in vain: {script}\n{self.text()}"
            time.sleep(0.1)
        return value

    def text(self, selector="body"):
        """Return the text of an element."""
        return self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def upload(self, *files, selector="input[type=file]"):
        """Choose files in a form's file dialogue."""
        self.wait_for(f"!!document.querySelector({json.dumps(selector)})")
        found = self.send("Runtime.evaluate", {
            "expression": f"document.querySelector({json.dumps(selector)})"
        })  # fmt: skip
        self.send("DOM.setFileInputFiles", {
            "files": [str(file) for file in files], "objectId": found["result"]["objectId"]
        })  # fmt: skip

    def screenshot(self, path):
        """Save a screenshot of the whole page."""
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        shot = self.send("Page.captureScreenshot", {
            "captureBeyondViewport": True,
            "clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1},
        })  # fmt: skip
        Path(path).write_bytes(base64.b64decode(shot["data"]))

    def requests(self):
        """Return the addresses that this page has requested."""
        self.run("0")  # flushes the events reported so far
        return [
            event["params"]["request"]["url"]
            for event in self._browser.events
            if event.get("method") == "Network.requestWillBeSent"
            and event.get("sessionId") == self._session
        ]

    def complaints(self):
        """Return the errors in the browser's log."""
        self.run("0")
        entries = [
            event["params"]["entry"]
            for event in self._browser.events
            if event.get("method") == "Log.entryAdded" and event.get("sessionId") == self._session
        ]
        thrown = [
            str(event["params"]["exceptionDetails"])
            for event in self._browser.events
            if event.get("method") == "Runtime.exceptionThrown"
            and event.get("sessionId") == self._session
        ]
        return [entry["text"] for entry in entries if entry["level"] == "error"] + thrown


def _out_of_the_way(descriptor):
    """Move a descriptor above those reserved for Chromium."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved
