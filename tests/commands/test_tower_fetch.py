"""`pks4 tower fetch` from a local hub."""

import http.server
import json
import os
import subprocess
import sys
import threading
import urllib.parse

import pytest
import torch
import transformers

from pks4_lightning.__main__ import main
from pks4_lightning.models.towers.architecture import backbone_fields
from pks4_lightning.models.towers.weights import build_backbone
from tests.helpers.towers import CASES

COMMIT = "0" * 40


class Hub(http.server.BaseHTTPRequestHandler):
    """The part of the Hugging Face hub's API that a download uses."""

    files: dict[str, dict[str, bytes]]

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        path = urllib.parse.urlparse(self.path).path
        if path.startswith("/api/models/"):
            repository = path.removeprefix("/api/models/").split("/revision/")[0]
            siblings = [{"rfilename": name} for name in self.files.get(repository, ())]
            content = json.dumps({"id": repository, "sha": COMMIT, "siblings": siblings}).encode()
            self.send(content, body=body, status=200 if siblings else 404)
            return
        repository, _, rest = path.strip("/").partition("/resolve/")
        name = rest.partition("/")[2]
        content = self.files.get(repository, {}).get(name)
        self.send(content or b"", body=body, status=404 if content is None else 200)

    def send(self, content, *, body, status):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hash(content) & 0xFFFFFFFF:x}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """The address of a hub with a tower in two shards, a text model and an empty repository."""
    folder = tmp_path_factory.mktemp("tower")
    fields = {k: v for k, v in CASES["siglip"].fields.items() if k != "model_type"}
    config = transformers.SiglipVisionConfig(**fields)
    tower = transformers.SiglipVisionModel(config)
    tower.save_pretrained(folder, max_shard_size="10KB")
    (folder / "preprocessor_config.json").write_text('{"size": {"height": 32, "width": 32}}')
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert "model.safetensors.index.json" in whole
    Hub.files = {
        "lab/tower": {**whole, "README.md": b"long", "tf_model.h5": b"not ours"},
        "lab/text": {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"heavy"},
        "lab/empty": {"README.md": b"soon"},
    }
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", tower
    server.shutdown()
    server.server_close()


def fetch(address, name, folder):
    """Run the command in a new process, because the hub's address is read at import."""
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(folder.parent / "home")}
    environment["HF_HUB_OFFLINE"] = "0"
    environment["HF_HUB_DISABLE_XET"] = "1"
    command = [sys.executable, "-m", "pks4_lightning", "tower", "fetch", name, "--out", str(folder)]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_a_fetched_tower_is_a_backbone(hub, tmp_path):
    address, tower = hub
    folder = tmp_path / "out"
    done = fetch(address, "lab/tower", folder)
    assert done.returncode == 0, done.stderr
    assert f"--model.classifier.backbone {folder}" in done.stdout
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert {"config.json", "preprocessor_config.json", "model.safetensors.index.json"} < names
    assert not names & {"README.md", "tf_model.h5"}
    fields = backbone_fields(str(folder), overrides=None, from_scratch=False)
    ours = build_backbone(fields, weights=str(folder)).state_dict()
    torch.testing.assert_close(ours, tower.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("lab/text", "'bert' model: the backbone must be an image transformer of one of these"),
        ("lab/empty", "lab/empty has no config.json with weights that transformers can read"),
        ("lab/nothing", "lab/nothing cannot be downloaded ("),
    ],
)
def test_models_without_a_tower_are_refused_before_the_download(hub, tmp_path, name, sentence):
    done = fetch(hub[0], name, tmp_path / "out")
    assert done.returncode == 1
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("google/vit-base-patch16-224", "224 cannot be downloaded (HF_HUB_OFFLINE is set)."),
        (
            "not a name",
            "'not a name' is not a hub id; a hub id looks like google/siglip2-base-patch16-224",
        ),
    ],
)
def test_being_offline_is_reported(monkeypatch, tmp_path, capsys, name, sentence):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert main(["tower", "fetch", name, "--out", str(tmp_path / "tower")]) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "tower").exists()
