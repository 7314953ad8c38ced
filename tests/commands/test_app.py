"""Arguments that `pks4 app` refuses before it loads a model."""

import importlib.util
import socket

import pytest

from pks4_lightning.__main__ import main
from pks4_lightning.app.serving import ServingOptions, serve

needs_gradio = pytest.mark.skipif(
    importlib.util.find_spec("gradio") is None, reason="needs Gradio: pip install '.[app]'"
)


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--time_limit=0", "--time_limit is 0; it must be above 0"),
        ("--max_megabytes=-1", "--max_megabytes is -1; it must be above 0"),
        ("--window=nan", "--window is nan; it must be above 0"),
        ("--port=70000", "--port is 70000; ports go from 1 to 65535"),
    ],
)
def test_numbers_out_of_range_are_named(option, sentence, capfd):
    assert main(["app", "--ckpt_path", "x.ckpt", option]) == 2
    assert sentence in capfd.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("gradio") is not None, reason="Gradio is there")
def test_without_gradio_it_says_how_to_install_it(capfd):
    assert main(["app", "--ckpt_path", "x.ckpt"]) == 1
    assert "needs gradio: pip install 'pks4-lightning[app]'" in capfd.readouterr().err


@needs_gradio
def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = ServingOptions("127.0.0.1", port, 1, 1.0, None, "cpu")
        with pytest.raises(ValueError, match=rf"Port {port} of 127\.0\.0\.1 cannot"):
            serve("x.ckpt", options)
