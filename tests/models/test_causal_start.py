import pytest
import torch

from pks4_lightning.models.causal_start import as_causal_start


def test_weights_of_the_future_move_before_those_of_the_past():
    name = "class_route.0.before_mlp.weight"
    previous, same, following = 1.0, 2.0, 3.0
    weights = {name: torch.tensor([[[previous, same, following]]]), "head.bias": torch.ones(2)}
    started = as_causal_start(weights)
    assert started[name].flatten().tolist() == [following, previous, same]
    assert started["head.bias"] is weights["head.bias"]


@pytest.mark.parametrize("context", [0, 2, 4])
def test_each_offset_keeps_its_distance_in_the_order(make_classifier, context):
    classifier = make_classifier(context_frames=context)
    weights = classifier.state_dict()
    name = "pks4.prior_encoder.variation.aggregate.join.0.0.weight"
    width = weights[name].shape[1] // (context + 1)
    for place in range(context + 1):
        weights[name][:, place * width : (place + 1) * width] = place
    started = as_causal_start(weights)[name]
    found = [int(started[0, place * width, 0, 0]) for place in range(context + 1)]
    assert found == {0: [0], 2: [2, 0, 1], 4: [4, 0, 3, 1, 2]}[context]


def test_a_static_clip_looks_the_same_to_a_started_classifier(make_classifier, draw):
    # for identical frames far from the clip's ends, the offset does not matter
    both_ways = make_classifier(context_frames=4).double().eval()
    both_ways.pks4.scanner.dt_proj.bias.data.fill_(3.0)  # a scan with a short memory
    causal = make_classifier(context_frames=4, causal=True).double().eval()
    causal.load_state_dict(as_causal_start(both_ways.state_dict()))
    frame = draw(1, 3, 1, 32, 32, dtype=torch.float64)
    clip = frame.expand(-1, -1, 60, -1, -1)
    with torch.no_grad():
        middle = both_ways.frame_vectors(clip, None)[:, 40]
        end = causal.frame_vectors(clip, None)[:, 40]
    torch.testing.assert_close(end, middle, rtol=0, atol=1e-9)
