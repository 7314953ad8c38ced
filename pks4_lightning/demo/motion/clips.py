"""One clip of the demo data set: its class, its frames and its bytes.

Every frame is a key frame, so that a frame's coding noise does not reveal its position in the clip,
and the decoded frames of a class are those of its partner in reverse order, bit for bit.
"""

import io
from dataclasses import dataclass

import av
import numpy as np
from jaxtyping import UInt8

from pks4_lightning.demo.motion.paths import MOTIONS, draw_scene
from pks4_lightning.demo.motion.render import Scene, render_scene
from pks4_lightning.demo.motion.settings import MotionSettings

__all__ = [
    "Clip",
    "class_templates",
    "encode_webm",
    "label_names",
    "make_clip",
    "pair_of",
    "random_stream",
    "scene_of",
]

_ENCODER_OPTIONS = {
    "b": "0",
    "deadline": "realtime",
    "cpu-used": "8",
    "lag-in-frames": "0",
    "auto-alt-ref": "0",
    "row-mt": "0",
}


@dataclass(frozen=True, eq=False)
class Clip:
    """A video before encoding."""

    frames: UInt8[np.ndarray, "T H W 3"]
    placeholders: tuple[str, ...]
    """Names that fill each ``[something]`` of the class's template, in order."""


def class_templates(settings: MotionSettings) -> list[str]:
    """List the classes' templates in label order, with brackets for the objects' names.

    Args:
        settings: Settings of the data set.
    """
    return [template for name in settings.motions for template in MOTIONS[name].templates]


def label_names(settings: MotionSettings | None = None) -> list[str]:
    """Name the classes in label order, as ``labels.json`` spells them.

    Args:
        settings: ``None`` means the defaults.

    Returns:
        Two names per pair of classes, without brackets.
    """
    templates = class_templates(settings or MotionSettings())
    return [template.replace("[", "").replace("]", "") for template in templates]


def pair_of(label: int) -> int:
    """Return the number of the time-reversal pair a class belongs to.

    Args:
        label: Class index, 0 or more.

    Returns:
        The same number for two classes that are each other's time reversal.

    Raises:
        ValueError: If the index is negative, which stands for a video without a label.
    """
    if label < 0:
        raise ValueError(f"label ({label}) must be 0 or more to belong to a pair of classes.")
    return label // 2


def make_clip(label: int, *, number: int, seed: int, settings: MotionSettings) -> Clip:
    """Make a video from its scene's own counter-based generator.

    Args:
        label: Class index.
        number: Number of the scene. A pair's two classes have equal scenes for equal numbers.
        seed: Seed of the data set.
        settings: Appearance of the clip.

    Returns:
        The frames, played backwards if the class is the second of its pair.
    """
    scene = scene_of(label, number=number, seed=seed, settings=settings)
    frames = render_scene(scene)
    backwards = label % 2 == 1
    return Clip(
        frames=np.ascontiguousarray(frames[::-1]) if backwards else frames,
        placeholders=tuple(sprite.name for sprite in scene.sprites),
    )


def scene_of(label: int, *, number: int, seed: int, settings: MotionSettings) -> Scene:
    """Draw the scene that a video shows, in the direction of time of its pair's first class.

    Args:
        label: Class index.
        number: As for :func:`make_clip`.
        seed: Seed of the data set.
        settings: Appearance of the clip.
    """
    return draw_scene(settings.motions[pair_of(label)], random_stream(seed, number), settings)


def encode_webm(
    frames: UInt8[np.ndarray, "T H W 3"], *, frames_per_second: int, quality: int = 48
) -> bytes:
    """Encode frames as VP9 in one thread, with every frame a key frame.

    Args:
        frames: RGB, 0 to 255; height and width are even.
        frames_per_second: Playback speed.
        quality: VP9's ``crf``, 0 to 63; lower is better.

    Returns:
        A WebM file; equal frames give equal bytes.
    """
    buffer = io.BytesIO()
    with av.open(
        buffer, "w", format="webm", container_options={"fflags": "+bitexact"}
    ) as container:
        stream = container.add_stream("libvpx-vp9", rate=frames_per_second)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = 1
        stream.codec_context.thread_count = 1
        stream.options = {"crf": str(quality), **_ENCODER_OPTIONS}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def random_stream(seed: int, stream: int) -> np.random.Generator:
    """Return one of the data set's independent generators.

    Args:
        seed: Seed of the data set.
        stream: Number of the generator.
    """
    return np.random.Generator(np.random.Philox(key=np.array([seed, stream], dtype=np.uint64)))
