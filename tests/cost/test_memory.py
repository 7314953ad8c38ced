import dataclasses

import pytest
import torch

from pks4_lightning.cost.memory import peak_of_step, saved_for_backward
from pks4_lightning.cost.meta import meta_classifier
from pks4_lightning.cost.parameters import count_parameters
from pks4_lightning.cost.throughput import measure
from pks4_lightning.cost.training_step import ClipBatch, Precision, TrainingStep
from pks4_lightning.models.building import build_classifier
from pks4_lightning.models.config import PKS4Config

CLIPS = ClipBatch(num_clips=3, num_frames=4, frame_size=32)
FLOAT32 = Precision()
MIXED = Precision.named("bf16-mixed")


def saved_by_a_real_pass(config, clips):
    """Bytes of the storages that a real forward pass on the CPU saves, without the parameters."""
    step = TrainingStep(build_classifier(config), clips, FLOAT32)
    own = {p.untyped_storage().data_ptr() for p in step.classifier.parameters()}
    own |= {b.untyped_storage().data_ptr() for b in step.classifier.buffers()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        step.forward()
    return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.parametrize("checkpointing", [False, True])
def test_counts_the_bytes_that_a_real_forward_pass_keeps(tiny, checkpointing):
    config = tiny(gradient_checkpointing=checkpointing)
    saved = saved_for_backward(config, num_frames=4, frame_size=32, precision=FLOAT32)
    assert saved.fixed + 3 * saved.per_clip == saved_by_a_real_pass(config, CLIPS)


def test_twice_the_frames_keep_twice_the_bytes(tiny):
    short, long = (
        saved_for_backward(tiny(), num_frames=t, frame_size=32, precision=FLOAT32).per_clip
        for t in (8, 16)
    )
    assert long == pytest.approx(2 * short, rel=0.01)


@pytest.mark.slow  # Table 1 is counted with both in every run
def test_checkpointing_and_half_precision_save_memory():
    config = PKS4Config(num_classes=174)
    plain, half, whole_half = (
        saved_for_backward(config, num_frames=1, frame_size=224, precision=precision).per_clip
        for precision in (FLOAT32, MIXED, Precision.named("16-true"))
    )
    config = dataclasses.replace(config, gradient_checkpointing=True)
    checkpointed = saved_for_backward(config, num_frames=1, frame_size=224, precision=FLOAT32)
    assert checkpointed.per_clip < plain / 3
    assert plain / 2 < half < plain
    # the scan saves its step sizes in float32
    assert whole_half == pytest.approx(plain / 2, rel=0.03)


def test_a_step_holds_parameters_gradients_two_moments_and_activations(tiny):
    config = tiny()
    one, three = (
        peak_of_step(config, dataclasses.replace(CLIPS, num_clips=n), FLOAT32) for n in (1, 3)
    )
    saved = saved_for_backward(config, num_frames=4, frame_size=32, precision=FLOAT32)
    parameters = sum(p.nbytes for p in build_classifier(config).parameters())
    assert one > 3 * parameters + saved.per_clip
    assert three - one >= 2 * saved.per_clip


def test_frozen_parameters_take_no_gradient_moments_or_activations(tiny):
    config, clip = tiny(class_route="none"), dataclasses.replace(CLIPS, num_clips=1)
    sizes = {"num_frames": 4, "frame_size": 32, "precision": FLOAT32}
    trained, kept, peaks = [], [], []
    for trains in ("all", "after_insertion", "head"):
        classifier = meta_classifier(config, trains)
        trained.append(sum(count_parameters(classifier, trainable=True).values()))
        kept.append(saved_for_backward(config, **sizes, trains=trains).per_clip)
        peaks.append(peak_of_step(config, clip, FLOAT32, trains))
    head, trunk = (
        sum(p.numel() for module in modules for p in module.parameters())
        for modules in ([classifier.head], classifier.trunk())
    )
    assert trained == [trained[0], trained[0] - trunk, head]
    assert kept[0] > kept[1] > kept[2]
    for more, less in ((0, 1), (1, 2)):  # at least the two moments of what is frozen
        assert peaks[more] - peaks[less] >= 2 * 4 * (trained[more] - trained[less])

    real = build_classifier(config)
    real.freeze("head")
    step = TrainingStep(real, clip, FLOAT32)
    step.allocate_moments()
    assert set(step.optimizer.state) == set(real.head.parameters())


@pytest.mark.parametrize(
    ("name", "weights", "autocast"),
    [
        (None, torch.float32, None),
        (32, torch.float32, None),
        ("32-true", torch.float32, None),
        ("bf16-mixed", torch.float32, torch.bfloat16),
        ("16-mixed", torch.float32, torch.float16),
        ("bf16", torch.float32, torch.bfloat16),
        ("16-true", torch.float16, None),
    ],
)
def test_precisions_are_those_of_the_trainer(name, weights, autocast):
    assert Precision.named(name) == Precision(weights, autocast)


@pytest.mark.parametrize("precision", [FLOAT32, MIXED], ids=["float32", "bf16-mixed"])
def test_throughput_runs_real_steps(tiny, precision):
    measured = measure(tiny(), CLIPS, precision, num_rounds=1)
    assert measured.forward > 0
    assert measured.training > 0
    assert (measured.peak_bytes is None) == (not torch.cuda.is_available())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_count_is_close_to_a_gpus_own():
    config = PKS4Config(num_classes=174)
    clips = ClipBatch(num_clips=8, num_frames=8, frame_size=224)
    measured = measure(config, clips, MIXED, num_rounds=1).peak_bytes
    assert peak_of_step(config, clips, MIXED) == pytest.approx(measured, rel=0.15)
