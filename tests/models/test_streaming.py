"""Streaming gives the same logits as whole clips, after every frame and for any chunking."""

import pytest
import torch
from torch.utils import _pytree as pytree

from pks4_lightning.models.config import PKS4Config

NUM_FRAMES = 20
ROUTES = ("none", "tsm", "token_shift", "token_t1d")
DELAYED = {"class_route": "none"}
BASELINE = {"use_scanner": False, "use_correlation": False, "use_variation": False}


@pytest.fixture
def frames(draw):
    return draw(2, 3, NUM_FRAMES, 32, 32, dtype=torch.float64)


@pytest.fixture
def make_stream(make_classifier):
    def make(**settings):
        return make_classifier(**{"causal": True, **settings}).double().eval().requires_grad_(False)

    return make


def follow(classifier, frames, chunks, exists=None):
    """Return the logits after every frame, and the state after the last one."""
    state = classifier.initial_state(len(frames))
    answers = []
    for start, end in zip([0, *chunks], [*chunks, frames.shape[2]], strict=True):
        known = None if exists is None else exists[:, start:end]
        logits, state = classifier.steps(frames[:, :, start:end], state, known)
        answers.append(logits)
    return torch.cat(answers, dim=1), state


@pytest.mark.parity
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("residual", ["post_prior", "literal"])
def test_every_prefix_gets_the_answer_of_its_whole_clip(make_stream, frames, route, residual):
    classifier = make_stream(class_route=route, residual=residual)
    one_by_one, _ = follow(classifier, frames, range(1, NUM_FRAMES))
    in_chunks, _ = follow(classifier, frames, (3, 4, 11))
    for t in range(1, NUM_FRAMES + 1):
        whole = classifier(frames[:, :, :t])
        torch.testing.assert_close(one_by_one[:, t - 1], whole, rtol=0, atol=1e-12)
        torch.testing.assert_close(in_chunks[:, t - 1], whole, rtol=0, atol=1e-12)


@pytest.mark.parity
@pytest.mark.parametrize(
    "settings",
    [
        {"use_correlation": False},
        {"use_variation": False},
        {"use_correlation": False, "use_variation": False},
        {"context_frames": 0},
        {"context_frames": 2},
        BASELINE,
        {"residual": "single"},
        {"scanner": "none"},
        {"scanner": "gru"},
        {"variation_ends": "negative"},
        {"prior_precision": "fp32"},
        {"context_frames": 0, "zero_context": "previous"},
        {"class_route": "tsm", "tsm_shifts": "block"},
    ],
    ids=str,
)
def test_every_prefix_gets_its_answer_in_every_ablation(make_stream, frames, settings):
    classifier = make_stream(**settings)
    answers, _ = follow(classifier, frames, (1, 7))
    for t in (1, 2, 3, 8, NUM_FRAMES):
        whole = classifier(frames[:, :, :t])
        torch.testing.assert_close(answers[:, t - 1], whole, rtol=0, atol=1e-12)


def test_single_precision_agrees_to_five_digits(make_stream, frames):
    classifier = make_stream().float()
    answers, _ = follow(classifier, frames.float(), range(1, NUM_FRAMES))
    torch.testing.assert_close(answers[:, -1], classifier(frames.float()), rtol=0, atol=1e-5)


@pytest.mark.parametrize("route", ROUTES)
def test_no_frame_sees_a_later_one(make_stream, frames, route):
    classifier = make_stream(class_route=route)
    changed = frames.clone()
    changed[:, :, 9] += 1.0
    before, after = (
        follow(classifier, clip, range(1, NUM_FRAMES))[0] for clip in (frames, changed)
    )
    assert torch.equal(before[:, :9], after[:, :9])
    assert not torch.allclose(before[:, 9], after[:, 9])


def test_streams_that_start_at_different_times_answer_as_each_alone(make_stream, frames):
    classifier = make_stream()
    late = 5
    exists = torch.ones(2, NUM_FRAMES, dtype=frames.dtype)
    exists[1, :late] = 0
    together, _ = follow(classifier, frames, (2, 3, 9), exists)
    alone, _ = follow(classifier, frames[:1], (4,))
    later, _ = follow(classifier, frames[1:, :, late:], (1,))
    torch.testing.assert_close(together[:1], alone, rtol=0, atol=1e-12)
    torch.testing.assert_close(together[1:, late:], later, rtol=0, atol=1e-12)
    assert together[1, :late].isnan().all()


def test_a_stream_set_to_zero_starts_anew_and_leaves_the_other_alone(make_stream, frames):
    classifier = make_stream()
    _, state = follow(classifier, frames, ())
    keep = torch.tensor([1.0, 0.0], dtype=frames.dtype)
    state = pytree.tree_map(lambda part: part * keep.view(-1, *[1] * (part.ndim - 1)), state)
    answers, _ = classifier.steps(frames, state)
    fresh, _ = follow(classifier, frames[1:], ())
    torch.testing.assert_close(answers[1:], fresh, rtol=0, atol=1e-12)
    twice = torch.cat([frames, frames], dim=2)
    torch.testing.assert_close(answers[0, -1], classifier(twice)[0], rtol=0, atol=1e-12)


def test_a_step_leaves_the_state_it_was_given_as_it_was(make_stream, frames):
    classifier = make_stream()
    _, state = follow(classifier, frames, ())
    copy = pytree.tree_map(torch.clone, state)
    classifier.step(frames[:, :, 0], state)
    for part, kept in zip(pytree.tree_leaves(state), pytree.tree_leaves(copy), strict=True):
        assert torch.equal(part, kept)


def test_a_long_stream_needs_no_more_memory_and_stays_finite(make_stream, draw):
    classifier = make_stream().float()
    frames = draw(1, 3, 50, 32, 32)
    state = classifier.initial_state()
    num_bytes = [sum(x.untyped_storage().nbytes() for x in pytree.tree_leaves(state))]
    with torch.inference_mode():
        for _ in range(20):
            logits, state = classifier.steps(frames, state)
            num_bytes.append(sum(x.untyped_storage().nbytes() for x in pytree.tree_leaves(state)))
    assert logits.isfinite().all()
    assert len(set(num_bytes)) == 1


@pytest.mark.parity
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_correlation": False},
        {"use_variation": False},
        {"context_frames": 2},
        {"residual": "single"},
        {"scanner": "none"},
        {"scanner": "gru"},
        {"variation_ends": "negative"},
        {"context_frames": 0, "zero_context": "previous"},
    ],
    ids=str,
)
def test_a_published_classifier_without_a_route_answers_with_a_delay(make_stream, frames, settings):
    classifier = make_stream(causal=False, **DELAYED, **settings)
    operators = 2 - len({"use_correlation", "use_variation"} & set(settings))
    delay = operators * settings.get("context_frames", 4) // 2
    assert classifier.delay == delay
    answers, state = follow(classifier, frames, (1, 2, 9))
    assert answers[:, :delay].isnan().all()
    ends = torch.cat([answers[:, delay:], classifier.flush(state)], dim=1)
    assert ends.shape[1] == NUM_FRAMES
    # logits are the head's output for the running mean of frame vectors
    whole = classifier.frame_vectors(frames, None)
    means = classifier.head(whole.cumsum(1) / torch.arange(1, NUM_FRAMES + 1).view(1, -1, 1))
    torch.testing.assert_close(ends, means, rtol=0, atol=1e-12)
    torch.testing.assert_close(ends[:, -1], classifier(frames), rtol=0, atol=1e-12)


def test_a_causal_classifier_has_nothing_to_flush(make_stream, frames):
    classifier = make_stream()
    assert classifier.delay == 0
    assert classifier.flush(follow(classifier, frames, ())[1]).shape == (2, 0, 5)


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"class_route": "token_t1d"}, "causal true"),
        ({"class_route": "token_shift"}, "causal true"),
        ({"class_route": "tsm"}, "causal true"),
        ({"class_route": "none", "bidirectional": True}, "bidirectional false"),
        ({"class_route": "none", "scanner": "attention"}, "scanner mamba, gru or none"),
    ],
)
def test_unsupported_streaming_names_the_setting(make_stream, settings, setting):
    classifier = make_stream(causal=False, **settings)
    with pytest.raises(ValueError, match=setting):
        classifier.initial_state()


def test_a_causal_classifier_cannot_be_bidirectional():
    with pytest.raises(ValueError, match="exclude each other"):
        PKS4Config(num_classes=2, causal=True, bidirectional=True)


def test_being_causal_costs_no_parameter(make_classifier):
    shapes = [
        {name: value.shape for name, value in make_classifier(causal=causal).state_dict().items()}
        for causal in (False, True)
    ]
    assert shapes[0] == shapes[1]


def test_a_fresh_causal_route_is_the_shift_into_the_past(make_stream, make_classifier, frames):
    learned = make_classifier(fresh=True, causal=True, class_route="token_t1d").double().eval()
    fixed = make_classifier(fresh=True, causal=True, class_route="token_shift").double().eval()
    fixed.load_state_dict(learned.state_dict(), strict=False)
    torch.testing.assert_close(learned(frames), fixed(frames), rtol=0, atol=1e-12)


def test_a_stream_keeps_its_precision_under_autocast(make_stream, frames):
    classifier = make_stream().float()
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
        state = classifier.initial_state(2)
        dtypes = [part.dtype for part in pytree.tree_leaves(state)]
        for _ in range(5):
            low, state = classifier.steps(frames.float(), state)
    assert [part.dtype for part in pytree.tree_leaves(state)] == dtypes
    with torch.inference_mode():
        high, _ = follow(classifier, frames.float().repeat(1, 1, 5, 1, 1), ())
    assert (low[:, -1] - high[:, -1]).abs().max() < 1e-2 * high.abs().max()


@pytest.mark.parametrize(("dtype", "most"), [(torch.bfloat16, 256), (torch.float16, 2048)])
def test_a_stream_in_half_precision_counts_beyond_the_numbers_of_its_format(
    make_stream, draw, dtype, most
):
    classifier = make_stream(class_route="none", **BASELINE).to(dtype)
    state = classifier.initial_state()
    frame = draw(1, 3, 32, 32).to(dtype)
    first, state = classifier.step(frame, state)
    # as after so many frames like the first
    state = state._replace(total=most * state.total, num_seen=most * state.num_seen)
    for _ in range(3):
        logits, state = classifier.step(frame, state)
    assert state.num_seen.tolist() == [most + 3]
    assert logits.dtype == dtype
    torch.testing.assert_close(logits, first, rtol=1e-2, atol=1e-2)


def test_a_delayed_stream_in_bfloat16_is_flushed_in_it(make_stream, frames):
    classifier = make_stream(causal=False, **DELAYED).bfloat16()
    _, state = follow(classifier, frames.bfloat16(), ())
    assert classifier.flush(state).dtype == torch.bfloat16


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "settings",
    [{}, {"use_correlation": False, "use_variation": False}, {"temporal": "tsm"}],
    ids=str,
)
@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ((1, 3, 32, 32), "The state is of 2 streams, and frames are of 1: .* num_streams"),
        ((2, 3, 48, 48), "4 x 4 patches, and a frame of 48 x 48 pixels has 6 x 6: .* size"),
        ((2, 3, 16, 64), "a frame of 16 x 64 pixels has 2 x 8: .* they must be square"),
        ((3, 32, 32), "five axes"),
    ],
    ids=str,
)
def test_frames_that_do_not_fit_the_state_are_refused(make_stream, settings, shape, sentence):
    classifier = make_stream(**settings).float()
    with pytest.raises(ValueError, match=sentence):
        classifier.step(torch.zeros(shape), classifier.initial_state(2))


def test_a_classifier_in_training_mode_follows_no_stream(make_stream, frames):
    classifier = make_stream().train()
    with pytest.raises(ValueError, match=r"training mode, .* call eval\(\)"):
        classifier.step(frames[:, :, 0], classifier.initial_state(2))


def test_training_on_prefixes_gives_the_logits_of_a_stream(make_stream, frames):
    classifier = make_stream()
    answers, _ = follow(classifier, frames, ())
    classifier.answers_prefixes = True
    assert classifier(frames).shape == (2, 5)
    classifier.training = True  # submodules such as BatchNorm stay in evaluation mode
    torch.testing.assert_close(classifier(frames), answers, rtol=0, atol=1e-12)
