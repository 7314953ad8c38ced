"""Each method compared with its formulas, written out by hand without hooks."""

import pytest
import torch
import torch.nn.functional as F

from pks4_lightning.models.towers.weights import build_backbone
from pks4_lightning.peers.evl import CrossFrameAttention, DecoderLayer
from pks4_lightning.peers.side4video import SideBlock
from tests.helpers.towers import TINY_TOWER
from tests.peers.conftest import VIT


@pytest.fixture
def video(draw):
    return draw(2, 3, 3, 32, 32, dtype=torch.float64)


def tower_without_hooks(classifier, fields=TINY_TOWER):
    tower = build_backbone(dict(fields), weights=None).double()
    weights = classifier.backbone.state_dict()
    tower.load_state_dict(weights, strict=False)
    return tower.vision_model if fields is TINY_TOWER else tower


class Names:
    """Common names for the parts of both families of towers."""

    def __init__(self, classifier, fields):
        tower = tower_without_hooks(classifier, fields)
        is_clip = fields is TINY_TOWER
        self.embeddings = tower.embeddings
        self.enter = tower.pre_layrnorm if is_clip else torch.nn.Identity()
        self.blocks = tower.encoder.layers if is_clip else tower.layers
        self.norm = tower.post_layernorm if is_clip else tower.layernorm
        self._before, self._attention, self._after = (
            ("layer_norm1", "self_attn", "layer_norm2")
            if is_clip
            else ("layernorm_before", "attention", "layernorm_after")
        )

    def before_attention(self, block, x):
        return getattr(block, self._before)(x)

    def attend(self, block, x):
        return getattr(block, self._attention)(x, attention_mask=None)[0]

    def before_mlp(self, block, x):
        return getattr(block, self._after)(x)


on_both_families = pytest.mark.parametrize("fields", [TINY_TOWER, VIT], ids=["CLIP", "ViT"])


def convolve_time(x, layer):
    """A depthwise 3-D convolution with kernel (3, 1, 1) of B T P D, as in the papers."""
    weight, bias = layer.conv.weight.unsqueeze(-1), layer.conv.bias
    clips = x.permute(0, 3, 1, 2).unsqueeze(-1)
    y = F.conv3d(clips, weight, bias, padding=(1, 0, 0), groups=len(weight))
    return y.squeeze(-1).permute(0, 2, 3, 1)


def first_tokens(tower, video):
    return tower.embeddings(video.transpose(1, 2).flatten(0, 1))


@pytest.mark.parity
@on_both_families
@pytest.mark.parametrize("per_block", [1, 2])
def test_st_adapter_is_its_formulas(make_peer, video, per_block, fields):
    settings = {"per_block": per_block}
    classifier = make_peer("st_adapter", temporal_config=settings, tower=fields).double().eval()
    tower = Names(classifier, fields)

    def adapt(x, adapter):
        clips = x.unflatten(0, (2, 3))[:, :, 1:]
        update = adapter.up(convolve_time(adapter.down(clips), adapter.time))
        return torch.cat([x[:, :1], x[:, 1:] + update.flatten(0, 1)], dim=1)

    x = tower.enter(first_tokens(tower, video))
    for block, adapters in zip(tower.blocks, classifier.peer.blocks, strict=True):
        if per_block == 2:
            x = adapt(x, adapters.before_attention)
        x = x + tower.attend(block, tower.before_attention(block, x))
        x = adapt(x, adapters.before_mlp)
        x = x + block.mlp(tower.before_mlp(block, x))
    vectors = tower.norm(x[:, 0].unflatten(0, (2, 3)).mean(1))
    torch.testing.assert_close(classifier(video), classifier.head(vectors))


@pytest.mark.parity
@on_both_families
@pytest.mark.parametrize("adapters", [1, 2])
def test_aim_is_its_formulas(make_peer, video, adapters, fields):
    settings = {"temporal_adapters": adapters, "scale": 0.5}
    classifier = make_peer("aim", temporal_config=settings, tower=fields).double().eval()
    tower, peer = Names(classifier, fields), classifier.peer

    def bottleneck(x, adapter, *, skip):
        update = adapter.up(F.gelu(adapter.down(x)))
        return x + update if skip else update

    tokens = first_tokens(tower, video).unflatten(0, (2, 3))
    x = tower.enter((tokens + peer.temporal_embedding[:, None]).flatten(0, 1))
    for block, of in zip(tower.blocks, peer.blocks, strict=True):
        normed = tower.before_attention(block, x)
        over_time = normed.unflatten(0, (2, 3)).transpose(1, 2).flatten(0, 1)
        if adapters == 2:
            over_time = bottleneck(over_time, of.before_time, skip=True)
        read = bottleneck(tower.attend(block, over_time), of.after_time, skip=False)
        x = x + read.unflatten(0, (2, -1)).transpose(1, 2).flatten(0, 1)
        read = tower.attend(block, tower.before_attention(block, x))
        x = x + bottleneck(read, of.after_attention, skip=True)
        normed = tower.before_mlp(block, x)
        x = x + block.mlp(normed) + 0.5 * bottleneck(normed, of.beside_mlp, skip=False)
    vectors = tower.norm(x[:, 0]).unflatten(0, (2, 3)).mean(1)
    torch.testing.assert_close(classifier(video), classifier.head(vectors))


@pytest.mark.parity
def test_evls_cross_frame_attention_is_a_loop_over_pairs_of_patches(randomise, draw):
    num_heads, side = 2, 2
    module = randomise(CrossFrameAttention(4, num_heads=num_heads, grid_size=side)).double()
    queries, keys = (draw(2, 3, 5, 4, seed=seed, dtype=torch.float64) for seed in (0, 1))
    tables = module.previous_embedding, module.following_embedding
    expected = torch.zeros(2, 3, 4, 4, dtype=torch.float64)
    for b in range(2):
        for t in range(3):
            for table, beside in zip(tables, (t - 1, t + 1), strict=True):
                if not 0 <= beside < 3:
                    continue
                for i in range(4):
                    for head in range(num_heads):
                        part = slice(2 * head, 2 * head + 2)
                        scores = keys[b, beside, 1:, part] @ queries[b, t, 1 + i, part] / 2**0.5
                        for j, weight in enumerate(scores.softmax(0)):
                            down, right = j // side - i // side, j % side - i % side
                            offset = (down + side - 1) * (2 * side - 1) + right + side - 1
                            expected[b, t, i] += weight * table[offset] / num_heads
    torch.testing.assert_close(module(queries, keys, (side, side)), expected)


@pytest.mark.parity
def test_evls_query_attends_to_all_tokens_of_all_frames(randomise, draw):
    layer = randomise(DecoderLayer(4, num_heads=2, num_frames=3, dropout=0.5)).double().eval()
    query, tokens, beside = (
        draw(*shape, dtype=torch.float64) for shape in ((2, 1, 4), (2, 3, 5, 4), (2, 3, 4, 4))
    )
    timed = tokens + convolve_time(tokens, layer.time) + layer.temporal_embedding[:, None]
    timed = torch.cat([timed[:, :, :1], timed[:, :, 1:] + beside], dim=2)
    q = layer.q_proj(layer.query_norm(query))
    k, v = (
        projection(layer.token_norm(timed)).flatten(1, 2)
        for projection in (layer.k_proj, layer.v_proj)
    )
    read = []
    for part in (slice(0, 2), slice(2, 4)):
        weights = (q[..., part] @ k[..., part].mT / 2**0.5).softmax(-1)
        read.append(weights @ v[..., part])
    query = query + layer.out_proj(torch.cat(read, dim=-1))
    hidden = layer.mlp_in(layer.mlp_norm(query))
    expected = query + layer.mlp_out(hidden * (1.702 * hidden).sigmoid())
    ours = layer(draw(2, 1, 4, dtype=torch.float64), tokens, beside)
    torch.testing.assert_close(ours, expected)


@on_both_families
def test_evl_reads_the_last_blocks_in_their_order(make_peer, video, fields):
    classifier = make_peer("evl", tower=fields).double().eval()
    tower = Names(classifier, fields)
    seen = []
    for layer in classifier.peer.layers:
        layer.register_forward_pre_hook(lambda _, args: seen.append(args[1].flatten(0, 1)))
    classifier(video)
    x = tower.enter(first_tokens(tower, video))
    outputs = []
    for block in tower.blocks:
        x = block(x, attention_mask=None)
        outputs.append(x)
    for ours, theirs in zip(seen, outputs[-2:], strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parity
def test_a_side_block_is_its_formulas(randomise, draw):
    block = randomise(SideBlock(6, 4, num_heads=2)).double().eval()
    side, tokens = (draw(*shape, dtype=torch.float64) for shape in ((2, 3, 5, 4), (2, 3, 6, 6)))
    positions = draw(5, 4, dtype=torch.float64)

    def batch_norm(x, norm):
        return (x - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + (
            norm.bias
        )

    tower = block.tower_proj(block.tower_norm(tokens))
    x = 0.5 * side + 0.5 * tower[:, :, 1:]
    narrow, time, wide = block.time
    x = x + wide(convolve_time(narrow(batch_norm(x, block.time_norm)), time))
    shifted = torch.zeros_like(tower[:, :, 0])
    shifted[:, :-1, :2] = tower[:, 1:, 0, :2]
    shifted[:, 1:, 2:] = tower[:, :-1, 0, 2:]
    normed = block.attention_norm(torch.cat([shifted[:, :, None], x + positions], dim=2))
    q, k, v = block.q_proj(normed[:, :, 1:]), block.k_proj(normed), block.v_proj(normed)
    read = []
    for part in (slice(0, 2), slice(2, 4)):
        weights = (q[..., part] @ k[..., part].mT / 2**0.5).softmax(-1)
        read.append(weights @ v[..., part])
    x = x + block.out_proj(torch.cat(read, dim=-1))
    expected = x + block.mlp(batch_norm(x, block.mlp_norm))
    torch.testing.assert_close(block(side, tokens, positions), expected)


@pytest.mark.parity
def test_side4videos_stem_is_a_convolution_over_three_frames(make_peer, video):
    peer = make_peer("side4video").double().train().peer
    stem = peer.stem
    frames = F.pad(video, (0, 0, 0, 0, 1, 1))
    embedded = F.conv3d(frames, stem.patches.weight, stem.patches.bias, stride=(1, 8, 8))
    expected = (embedded - embedded.mean((0, 2, 3, 4), keepdim=True)) / (
        embedded.var((0, 2, 3, 4), keepdim=True, unbiased=False) + stem.norm.eps
    ).sqrt()
    expected = expected.flatten(3).permute(0, 2, 3, 1) * stem.norm.weight + stem.norm.bias
    torch.testing.assert_close(stem(video.transpose(1, 2)), expected)
