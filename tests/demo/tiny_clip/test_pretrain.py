"""The tiny stand-in for CLIP: its images, its training, the shipped folder."""

import json
import logging

import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPVisionModelWithProjection

from pks4_lightning.demo.tiny_clip.assets import tiny_clip_folder
from pks4_lightning.demo.tiny_clip.pretrain import StillReader, main, pretrain, tiny_clip_config
from pks4_lightning.demo.tiny_clip.stills import Stills, draw_stills


def draw(num, seed=0):
    return Stills.join(list(draw_stills(num, seed=seed, image_size=48, patch_size=8)))


@pytest.fixture(scope="module")
def stills():
    return draw(64)


def test_answers_fit_their_images(stills):
    assert stills.picture.shape == (64, 3, 48, 48)
    assert stills.is_pair.tolist() == [0.0, 1.0] * 32
    single, two = stills.is_pair == 0, stills.is_pair == 1
    assert torch.all(stills.shape[single].sum(1) == 1)
    assert torch.all(stills.colour[two].sum(1) <= 2)
    for field in (stills.place, stills.cover):
        assert 0 <= field.min() < field.max() <= 1
    torch.testing.assert_close(stills.axis.norm(dim=1), torch.ones(64))


def test_cover_and_offset_point_at_the_object(stills):
    """In images of one object, the colourful region matches cover and offset."""
    pictures = stills.picture.float()
    colourful = ((pictures.amax(1) - pictures.amin(1)) > 60).float()
    shares = torch.nn.functional.avg_pool2d(colourful, 8).flatten(1)
    assert torch.corrcoef(torch.stack([shares.flatten(), stills.cover.flatten()]))[0, 1] > 0.95
    centre = (torch.arange(6) + 0.5) / 6
    patches = torch.stack(
        [centre.repeat(6), centre.repeat_interleave(6)], dim=-1
    )  # row by row, x before y
    pointed_at = patches + stills.offset
    single = stills.is_pair == 0
    middle = stills.place[single, None, :2].expand(-1, 36, -1)
    torch.testing.assert_close(pointed_at[single], middle, atol=1e-5, rtol=0)


def test_images_depend_on_seed_and_number_alone(stills):
    again, others = draw(8), draw(8, seed=1)
    torch.testing.assert_close(again.picture, stills.picture[:8], rtol=0, atol=0)
    torch.testing.assert_close(again.offset, stills.offset[:8], rtol=0, atol=0)
    assert not torch.equal(others.picture, again.picture)


def test_equal_seeds_train_equal_towers():
    towers = [pretrain(seed=seed, num_steps=2, num_stills=64)[0].state_dict() for seed in (3, 3, 4)]
    assert all(torch.equal(towers[0][name], towers[1][name]) for name in towers[0])
    assert any(not torch.equal(towers[0][name], towers[2][name]) for name in towers[0])


def test_pretraining_lowers_the_loss(stills):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        reader = StillReader(CLIPVisionModelWithProjection(tiny_clip_config()))
    optimizer = torch.optim.AdamW(reader.parameters(), lr=2e-3)
    few = stills.select(torch.arange(16))
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = reader.loss(few)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.75 * losses[0]


def test_three_steps_write_a_loadable_folder(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    folder = tmp_path / "tower"
    assert main(["--out", str(folder), "--steps", "3", "--stills", "64"]) == 0
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
    }
    assert "--steps 3 --stills 64" in (folder / "README.md").read_text()
    CLIPVisionModelWithProjection.from_pretrained(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["tower"]
    assert main(["--out", str(folder)]) == 1
    assert "exists" in caplog.text


def test_too_few_images_are_refused(tmp_path, caplog):
    assert main(["--out", str(tmp_path / "tower"), "--stills", "63"]) == 1
    assert "num_stills is 63; it must be at least 64" in caplog.text
    assert not list(tmp_path.iterdir())


def test_shipped_folder_loads_strictly_and_has_the_documented_shape():
    config = json.loads((tiny_clip_folder() / "config.json").read_text())
    assert config["hidden_act"] == "quick_gelu"
    tower = CLIPVisionModelWithProjection(tiny_clip_config())
    tower.load_state_dict(load_file(tiny_clip_folder() / "model.safetensors"), strict=True)
    loaded = CLIPVisionModelWithProjection.from_pretrained(tiny_clip_folder())
    assert sum(parameter.numel() for parameter in loaded.parameters()) == 219_008
    picture = torch.zeros(2, 3, 48, 48)
    ours, theirs = tower.eval()(picture), loaded.eval()(picture)
    assert ours.image_embeds.shape == (2, 64)
    torch.testing.assert_close(ours.image_embeds, theirs.image_embeds, rtol=0, atol=0)
    size = sum(path.stat().st_size for path in tiny_clip_folder().iterdir())
    assert size < 1_000_000
    assert "not CLIP" in (tiny_clip_folder() / "README.md").read_text()


def test_shipped_tower_encodes_the_position_of_a_new_object():
    """A linear probe of the projection finds x and y, as the folder's README claims."""
    tower = CLIPVisionModelWithProjection.from_pretrained(tiny_clip_folder()).eval()
    reader = StillReader(tower)
    fresh = draw(600, seed=123)
    with torch.no_grad():
        outputs = tower((fresh.picture.float() / 255.0 - reader.mean) / reader.std)
    features = torch.cat([outputs.image_embeds, torch.ones(600, 1)], dim=1)
    weight = torch.linalg.lstsq(features[:400], fresh.place[:400, :2]).solution
    error = (features[400:] @ weight - fresh.place[400:, :2]).square().mean(dim=0)
    assert torch.all(error < 0.05 * fresh.place[400:, :2].var(dim=0))
