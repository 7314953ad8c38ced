"""Serves the page until it is stopped: address, folder of uploads, and content policy."""

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
"""Keeps the browser from loading anything from other servers, whatever Gradio asks for."""


class ServingOptions(NamedTuple):
    """Options for serving the page."""

    host: str
    port: int
    max_megabytes: int
    """Largest size of an upload."""
    time_limit: float
    """Time limit for an answer or a timeline, in seconds."""
    window: float | None
    """Length of a window of the timeline in seconds; ``None``: that of the training clips."""
    device: str | None


def check_gradio() -> None:
    """Raise a ValueError if Gradio is not installed."""
    if importlib.util.find_spec("gradio") is None:
        raise ValueError("`pks4 app` needs gradio: pip install 'pks4-lightning[app]'.")


def serve(source: str, options: ServingOptions) -> None:
    """Serve the page of a model until it is interrupted or terminated.

    Args:
        source: As for :func:`pks4_lightning.load`.
        options: Options of the server.

    Raises:
        ValueError: If Gradio is not installed, or the port is in use.
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
        # imported late: Gradio reads its settings at import
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
        sys.stdout.write(f"Open {address} in a browser; press Ctrl-C to stop.\n")
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            logger.info("Ended; uploads are removed.")
        finally:
            model.close()  # end calls that still wait for the model
            page.close(verbose=False)


@contextmanager
def _own_folder() -> Iterator[Path]:
    """Direct all files of this process and its children to one temporary folder.

    Yields:
        The folder for uploads; it is deleted at the end.
    """
    with tempfile.TemporaryDirectory(prefix="pks4_app_") as folder:
        uploads = Path(folder) / "uploads"
        uploads.mkdir()
        os.environ["TMPDIR"] = folder
        os.environ["GRADIO_TEMP_DIR"] = str(uploads)
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # also disables the check for updates
        tempfile.tempdir = None  # so that tempfile reads TMPDIR again
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
    """Raise a ValueError if the port cannot be used."""
    try:
        with socket.create_server((host, port), family=_family(host)):
            pass
    except OSError as error:
        raise ValueError(
            f"Port {port} of {host} cannot be used ({error.strerror or error}): choose "
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
    """Stop as after Ctrl-C, so that temporary files are deleted."""
    raise SystemExit(128 + number)
