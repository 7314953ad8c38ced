"""The page in Gradio. Importing this module imports Gradio, which then reads its settings."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from pks4_lightning.app.answering import Page, answer_upload
from pks4_lightning.app.model_process import ModelProcess
from pks4_lightning.app.rendering import classes_html

__all__ = ["STYLE", "build_page", "theme"]

STYLE = Path(__file__).with_name("page.css")
_HEIGHT = 260
_MOST_WAITING = 32
_SECONDS_BETWEEN_SWEEPS = 300
_SECONDS_KEPT = 3600
"""Seconds after which an upload is deleted if its page was closed before an answer."""
_HELP = (
    "Drop a video, or record one. The model answers immediately, and your upload is deleted "
    "after the answer."
)


def build_page(model: ModelProcess, *, name: str, uploads: Path, window: float) -> gr.Blocks:
    """Build the page.

    Args:
        model: The model that answers.
        name: The model's name.
        uploads: Folder of uploads.
        window: Length of a window of the timeline in seconds.
    """

    def answer(upload: dict[str, Any] | None) -> Iterator[tuple[Any, ...]]:
        if upload is None:
            return
        path = Path(upload["path"])
        called = str(upload.get("orig_name") or path.name)
        for page in answer_upload(model.call, path, called, uploads=uploads, window=window):
            # clear the input for the next video while this one is analysed
            yield (gr.update(value=None), *page)

    with gr.Blocks(
        title=f"{name} · pks4 app",
        analytics_enabled=False,
        delete_cache=(_SECONDS_BETWEEN_SWEEPS, _SECONDS_KEPT),
    ) as blocks:
        gr.Markdown(f"# {name}\n{model.description.kind}.")
        gr.HTML(classes_html(model.description.label_names))
        with gr.Row():
            with gr.Column(scale=2, min_width=280):
                with gr.Tab("File"):
                    # no player: browsers support few of the formats that are read here
                    file = gr.File(label="Video", height=_HEIGHT, elem_id="file")
                with gr.Tab("Camera"):
                    camera = gr.Video(
                        label="Camera",
                        sources=["webcam"],
                        # do not mirror the recording, and record no sound
                        webcam_options=gr.WebcamOptions(mirror=False),
                        include_audio=False,
                        height=_HEIGHT,
                        elem_id="camera",
                    )
            with gr.Column(scale=3, min_width=280):
                best = gr.HTML(f'<p class="pks4-note">{_HELP}</p>', elem_id="answer")
        seen = gr.HTML(elem_id="seen")
        priors = gr.HTML(elem_id="priors")
        timeline = gr.HTML(elem_id="timeline")
        for place, arrives in ((file, file.upload), (camera, camera.stop_recording)):
            arrives(
                answer,
                inputs=place,
                outputs=[place, *Page(best, seen, priors, timeline)],
                # Gradio would call ffmpeg to remove the sound
                preprocess=False,
                # requests share one model, and each waits for it with a copy of its file
                concurrency_limit=_MOST_WAITING,
                concurrency_id="model",
                trigger_mode="multiple",
                show_progress="hidden",
                api_visibility="private",
            )
    blocks.queue(max_size=_MOST_WAITING)
    return blocks


def theme() -> gr.themes.Base:
    """Return the theme, with fonts that every system has."""
    return gr.themes.Default(
        primary_hue="blue",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
