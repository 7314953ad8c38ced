"""``pks4 app``: serve a web page for trying a model."""

import argparse

from pks4_lightning.cli.errors import ArgumentsError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: The command's.
    """
    parser.description = (
        "Serve a web page for trying a model: drop or record a video, and see the five best "
        "classes, the frames that the model used, what its priors find in them, and a timeline of "
        "long videos. The page needs no network and sends no data anywhere; an upload is deleted "
        "after its answer. It needs Gradio: pip install 'pks4-lightning[app]'."
    )
    parser.epilog = (
        "examples:\n"
        "  pks4 app --ckpt_path runs/ssv2_b16_f8/checkpoints/best.ckpt\n"
        "  pks4 app --ckpt_path me/pks4-b16-ssv2                    # from the Hugging Face hub\n"
        "  pks4 app --ckpt_path best.ckpt --host 0.0.0.0            # for others in the network\n"
        "Browsers allow the camera on a page of the same machine, and on others only over https."
    )
    parser.add_argument(
        "--ckpt_path", required=True, metavar="SOURCE",
        help="checkpoint of `pks4 fit`, folder of `pks4 export-weights` or `pks4 share`, or hub id",
    )  # fmt: skip
    parser.add_argument(
        "--host", default="127.0.0.1",
        help="address to listen on; default: %(default)s, which only this machine can reach. There "
        "is no password: with 0.0.0.0, everyone who can reach the machine can use the page",
    )  # fmt: skip
    parser.add_argument("--port", type=int, default=7860, help="default: %(default)s")
    parser.add_argument(
        "--window", type=float, metavar="S",
        help="length in seconds of a window of the timeline, which is shown for videos longer than "
        "two windows; default: that of the training clips, or 4 if they had no fixed length",
    )  # fmt: skip
    parser.add_argument(
        "--max_megabytes", type=int, default=200, metavar="N",
        help="largest upload; default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--time_limit", type=float, default=120.0, metavar="S",
        help="time limit in seconds for an answer, and for a timeline; default: 120",
    )  # fmt: skip
    parser.add_argument("--device", help="cpu, cuda, ...; default: a GPU if there is one")


def run(arguments: argparse.Namespace) -> None:
    """Serve the page until it is interrupted.

    Args:
        arguments: The command's.

    Raises:
        ArgumentsError: If a number is out of range.
        ValueError: See :func:`~pks4_lightning.app.serving.serve`.
    """
    for name in ("max_megabytes", "time_limit", "window"):
        value = getattr(arguments, name)
        if value is not None and not 0 < value < float("inf"):
            raise ArgumentsError(f"--{name} is {value:g}; it must be above 0.")
    if not 0 < arguments.port < 65536:
        raise ArgumentsError(f"--port is {arguments.port}; ports go from 1 to 65535.")
    from pks4_lightning.app.serving import ServingOptions, check_gradio, serve

    check_gradio()
    serve(
        arguments.ckpt_path,
        ServingOptions(
            host=arguments.host,
            port=arguments.port,
            max_megabytes=arguments.max_megabytes,
            time_limit=arguments.time_limit,
            window=arguments.window,
            device=arguments.device,
        ),
    )
