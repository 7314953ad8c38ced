"""Serving the page until somebody ends it: its address, its folder, what it may load."""

import importlib.util
import logging
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from pks4_lightning.app.model_process import ModelProcess

__all__ = ["ServingOptions", "check_gradio", "serve"]

logger = logging.getLogger(__name__)

_CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",  # Gradio's own
        "style-src 'self' 'unsafe-inline'",
        "connect-src 'self' data: blob:",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
"""The browser loads nothing from elsewhere, whatever a version of Gradio asks for."""


class ServingOptions(NamedTuple):
    """How the page is served."""

    host: str
    port: int
    max_megabytes: int
    """Of an upload."""
    time_limit: float
    """Seconds that an answer, and a timeline, may take."""
    window: float | None
    """Seconds of a window of the timeline; ``None``: as long as clips of the training."""
    device: str | None


def check_gradio() -> None:
    """Raise a ValueError if Gradio is not installed."""
    if importlib.util.find_spec("gradio") is None:
        raise ValueError("`pks4 app` needs gradio: pip install 'pks4-lightning[app]'.")


def serve(source: str, options: ServingOptions) -> None:
    """Serve the page of a model until it is interrupted or terminated.

    Args:
        source: As for :func:`pks4_lightning.load`.
        options: How.

    Raises:
        ValueError: If Gradio is absent, or the port is taken.
        NoAnswerError: If the model cannot be loaded.
    """
    check_gradio()
    _check_port(options.host, options.port)
    for number in (signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup has it ignored
            signal.signal(number, _end)
    with (
        _own_folder() as folder,
        ModelProcess(source, device=options.device, time_limit=options.time_limit) as model,
    ):
        # only now: Gradio reads its settings when it is imported
        from pks4_lightning.app.page import STYLE, build_page, theme

        page = build_page(
            model,
            name=_name_of(source),
            uploads=folder,
            window=options.window or model.description.window,
        )
        _, address, _ = page.launch(
            server_name=options.host,
            server_port=options.port,
            max_file_size=f"{options.max_megabytes}mb",
            theme=theme(),
            css_paths=STYLE,
            app_kwargs={"middleware": [(_Policy, (), {})]},
            prevent_thread_lock=True,
            quiet=True,
            inbrowser=False,
            inline=False,
            share=False,
            ssr_mode=False,
            mcp_server=False,
            pwa=False,
            run_history=False,
            enable_monitoring=False,
            allowed_paths=[],
            footer_links=[],
        )
        sys.stdout.write(f"Open {address} in a browser; Ctrl-C ends it.\n")
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            logger.info("Ended; uploads are removed.")
        finally:
            model.close()  # so that nobody waits for it any more
            page.close(verbose=False)


@contextmanager
def _own_folder() -> Iterator[Path]:
    """Let everything that this process and its children write for a while go into one folder.

    Yields:
        Where uploads go; all of it is removed at the end.
    """
    with tempfile.TemporaryDirectory(prefix="pks4_app_") as folder:
        uploads = Path(folder) / "uploads"
        uploads.mkdir()
        os.environ["TMPDIR"] = folder
        os.environ["GRADIO_TEMP_DIR"] = str(uploads)
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # it asks for its newest version as well
        tempfile.tempdir = None  # so that it is looked up again
        yield uploads


class _Policy:
    """Adds the policy to every response of an ASGI application."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", _CONTENT_SECURITY_POLICY.encode())
                message["headers"] = [*message.get("headers", ()), policy]
            await send(message)

        await self._app(scope, receive, send_with_policy)


def _check_port(host: str, port: int) -> None:
    """Raise a ValueError if nothing can listen there."""
    try:
        with socket.create_server((host, port), family=_family(host)):
            pass
    except OSError as error:
        raise ValueError(
            f"Nothing can listen on port {port} of {host} ({error.strerror or error}): choose "
            "another with --port or --host."
        ) from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _name_of(source: str) -> str:
    """Return what a person calls a model: its hub id, or its run, folder or file with its place."""
    path = Path(source)
    if not path.exists():
        return source
    path = path.resolve()
    if path.parent.name == "checkpoints":
        path = path.parent.parent
    return f"{path.parent.name}/{path.name if path.is_dir() else path.stem}"


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the interface's
    """End as after Ctrl-C: what was begun is tidied up."""
    raise SystemExit(128 + number)
