from itertools import accumulate

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.profiler import profile

from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config
from pks4_lightning.training.learning.chunked_forward import (
    ChunkedForward,
    NotEnoughMemoryError,
    chunked_forward,
    is_out_of_memory,
    num_fitting,
)
from tests.helpers.towers import TINIER_TOWER

K = 6
WITHOUT_BATCHNORM = {"use_correlation": False, "use_variation": False}
DROPOUT = {"attention_dropout": 0.3}


def classifier(backbone=None, **options):
    torch.manual_seed(0)
    built = build_classifier(
        PKS4Config(
            num_classes=K,
            pretrained=False,
            backbone_config={**TINIER_TOWER, **(backbone or {})},
            insert_after=1,
            d_prior=8,
            d_state=4,
            **options,
        )
    )
    # a zero output projection would block the gradients of preceding layers
    nn.init.normal_(built.pks4.scanner.out_proj.weight, std=0.1)
    return built.train()


def clips(count, num_frames=2):
    return torch.randn(count, 3, num_frames, 16, 16, generator=torch.Generator().manual_seed(1))


def gradients(model, run, video):
    model.zero_grad()
    F.cross_entropy(run(model, video), torch.arange(len(video)) % K).backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def needs_memory_for(model, most):
    """Make forward passes of more than ``most`` clips run out of memory; list their sizes."""
    tried = []

    def allocate(_module, args):
        tried.append(len(args[0]))
        if len(args[0]) > most:
            raise torch.OutOfMemoryError("planted")

    model.register_forward_pre_hook(allocate)
    return tried


class TestInPasses:
    @pytest.mark.parametrize("clips_per_pass", [1, 3, 4])
    @pytest.mark.parametrize("checkpointing", [False, True])
    def test_gradient_is_that_of_the_whole_batch(self, clips_per_pass, checkpointing):
        model = classifier(gradient_checkpointing=checkpointing, **WITHOUT_BATCHNORM)
        whole = gradients(model, lambda m, v: m(v), clips(8))
        ours = gradients(model, lambda m, v: chunked_forward(m, v, clips_per_pass), clips(8))
        assert (ours - whole).abs().max() < 1e-6 * whole.abs().max().clamp_min(1)
        assert whole.abs().max() > 0.01

    def test_of_enough_clips_is_the_module_itself(self):
        model = classifier()
        assert torch.equal(
            gradients(model, lambda m, v: chunked_forward(m, v, 4), clips(4)),
            gradients(model, lambda m, v: m(v), clips(4)),
        )

    def test_with_batchnorm_equals_accumulated_micro_batches(self):
        """Gradients and running statistics are equal: recomputation does not update statistics."""
        accumulating, ours = classifier(), classifier()
        video, label = clips(8), torch.arange(8) % K
        for part in (slice(0, 4), slice(4, 8)):
            (F.cross_entropy(accumulating(video[part]), label[part]) / 2).backward()
        F.cross_entropy(chunked_forward(ours, video, 4), label).backward()
        for (name, theirs), mine in zip(
            accumulating.named_parameters(), ours.parameters(), strict=True
        ):
            torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-6, msg=name)
        statistics = dict(ours.named_buffers())
        for name, theirs in accumulating.named_buffers():
            assert torch.equal(statistics[name], theirs), name
        assert int(statistics["pks4.prior_encoder.variation.reduce.1.num_batches_tracked"]) == 2

    def test_recomputes_the_same_random_draws(self):
        model = classifier(backbone=DROPOUT, **WITHOUT_BATCHNORM)
        torch.manual_seed(3)
        by_halves = gradients(
            model, lambda m, v: torch.cat([m(part) for part in v.split(4)]), clips(8)
        )
        torch.manual_seed(3)
        ours = gradients(model, lambda m, v: chunked_forward(m, v, 4), clips(8))
        torch.testing.assert_close(ours, by_halves, rtol=1e-5, atol=1e-7)

    @pytest.mark.parametrize(("clips_per_pass", "share"), [(4, 0.6), (1, 0.2)])
    def test_keeps_the_activations_of_one_pass_only(self, clips_per_pass, share):
        model = classifier()

        def most_bytes(run):
            """Return the peak of allocated bytes over a forward and backward pass."""
            model.zero_grad()
            video = clips(8, num_frames=16)
            with profile(profile_memory=True) as profiled:
                run(model, video).sum().backward()
            events = profiled.profiler.kineto_results.events()
            changes = sorted(
                (event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"
            )
            return max(accumulate(size for _, size in changes))

        passes = most_bytes(lambda m, v: chunked_forward(m, v, clips_per_pass))
        assert passes < share * most_bytes(lambda m, v: m(v))

    def test_predicts_the_same(self):
        model = classifier().eval()
        with torch.no_grad():
            torch.testing.assert_close(chunked_forward(model, clips(5), 2), model(clips(5)))


class TestAuto:
    def test_halves_where_memory_runs_out_and_keeps_the_gradient(self):
        model = classifier(**WITHOUT_BATCHNORM)
        whole = gradients(model, lambda m, v: m(v), clips(8))
        passes = ChunkedForward("auto")
        gradients(model, passes, clips(8))
        tried = needs_memory_for(model, 4)  # memory becomes scarce at the second step
        ours = gradients(model, passes, clips(8))
        # the attempt, the trial pass, two passes and their recomputation
        assert tried == [8, 4, 4, 4, 4, 4]
        assert (ours - whole).abs().max() < 1e-6 * whole.abs().max().clamp_min(1)

    def test_keeps_what_earlier_micro_batches_accumulated(self):
        model = classifier(**WITHOUT_BATCHNORM)
        twice = 2 * gradients(model, lambda m, v: m(v), clips(8))
        gradients(model, ChunkedForward("auto"), clips(8))
        needs_memory_for(model, 3)
        F.cross_entropy(ChunkedForward("auto")(model, clips(8)), torch.arange(8) % K).backward()
        ours = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
        torch.testing.assert_close(ours, twice, rtol=1e-5, atol=1e-6)

    def test_remembers_what_fits_by_the_shape_of_clips(self):
        model = classifier(**WITHOUT_BATCHNORM)
        passes = ChunkedForward("auto")
        tried = needs_memory_for(model, 2)
        passes(model, clips(8))
        assert tried == [8, 4, 2, 2, 2, 2, 2]
        tried.clear()
        passes(model, clips(8))
        assert tried == [2, 2, 2, 2], "nothing is rehearsed twice"
        tried.clear()
        passes(model, clips(8)[:, :, :1])
        assert tried[0] == 8, "shorter clips may fit"

    def test_leaves_no_trace_of_failed_attempts(self):
        """Running statistics and random draws equal those of a run with a fixed number."""
        known, ours = (classifier(backbone=DROPOUT) for _ in range(2))
        torch.manual_seed(5)
        chunked_forward(known, clips(8), 4)
        following = torch.rand(3)
        needs_memory_for(ours, 4)
        torch.manual_seed(5)
        ChunkedForward("auto")(ours, clips(8))
        assert torch.equal(torch.rand(3), following)
        statistics = dict(ours.named_buffers())
        for name, buffer in known.named_buffers():
            assert torch.equal(statistics[name], buffer), name

    def test_statistics_are_set_back_where_a_forward_pass_fails_halfway(self):
        model = classifier()
        passes = ChunkedForward("auto")
        passes(model, clips(4))
        before = {name: buffer.clone() for name, buffer in model.named_buffers()}
        failing = model.head.register_forward_pre_hook(self.fail)
        with pytest.raises(NotEnoughMemoryError):
            passes(model, clips(4)[:1])
        failing.remove()
        assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())

    @staticmethod
    def fail(_module, _args):
        raise torch.OutOfMemoryError("planted")

    def test_ends_with_a_sentence_where_one_clip_is_too_much(self):
        model = classifier()
        tried = needs_memory_for(model, 0)
        with pytest.raises(NotEnoughMemoryError, match=r"one clip of 2 frames × 16 × 16 pixels"):
            ChunkedForward("auto")(model, clips(8))
        assert tried == [8, 4, 2, 1]

    def test_refuses_a_model_that_waits_for_other_ranks(self):
        model = nn.SyncBatchNorm.convert_sync_batchnorm(classifier())
        with pytest.raises(ValueError, match="Give a number"):
            ChunkedForward("auto")(model, clips(2))

    @pytest.mark.parametrize(
        ("given", "cost", "whole_batch", "at_once"),
        [
            (None, 1.0, None, 8),
            (None, 4.0, None, 2),
            (None, 30.0, None, 1),
            (None, 0.25, None, 8),
            (4, 2.0, None, 2),
            (4, 0.5, None, 8),
            # a batch of 16, of which 8 clips are kept because each costs twice as much
            (None, 2.0, 16, 8),
            (4, 2.0, 16, 2),
        ],
    )
    def test_of_costlier_clips_hold_fewer(self, given, cost, whole_batch, at_once):
        model, passes = classifier(), ChunkedForward(given)
        video = clips(8)
        with torch.no_grad():
            logits = passes(model.eval(), video, None, cost, whole_batch)
            torch.testing.assert_close(logits, model(video))
        assert passes.at_once == at_once

    def test_makes_no_trial_pass_without_training(self):
        model = classifier().eval()
        tried = needs_memory_for(model, 8)
        ChunkedForward("auto")(model, clips(8))
        assert tried == [8]


class TestNumFitting:
    @pytest.mark.parametrize(("most", "expected"), [(8, 8), (7, 4), (3, 2), (1, 1), (0, 0)])
    def test_halves(self, most, expected):
        model = classifier()
        needs_memory_for(model, most)
        assert num_fitting(model, clips(8)) == expected
        assert all(parameter.grad is None for parameter in model.parameters())


def test_tells_memory_from_other_errors():
    def allocate_too_much():
        torch.empty(1 << 60, dtype=torch.uint8)

    with pytest.raises(RuntimeError) as of_memory:
        allocate_too_much()
    assert is_out_of_memory(of_memory.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
