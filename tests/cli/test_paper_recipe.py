"""The six configurations of the paper's results, compared with the paper and its source (ATM)."""

import pytest

from pks4_lightning.cli.settings import resolve
from pks4_lightning.data.clips.transforms import Augmentation

# name: backbone, insert_after, frames × clips × crops, epochs, base rate, layer decay
FILES = {
    "ssv2": ("base-patch16", 8, (8, 2, 3), 20, 7e-4, 0.70),
    "ssv2_b16_f32": ("base-patch16", 8, (32, 1, 3), 20, 7e-4, 0.70),
    "ssv2_l14_f16": ("large-patch14", 16, (16, 1, 3), 15, 1e-3, 0.75),
    "ssv2_l14_f32": ("large-patch14", 16, (32, 1, 3), 15, 1e-3, 0.75),
    "k400": ("base-patch16", 8, (32, 1, 3), 20, 3e-4, 0.65),
    "k400_l14_f32": ("large-patch14", 16, (32, 1, 3), 20, 2e-4, 0.70),
}
CLASSIFIER = {
    "use_scanner": True,
    "use_variation": True,
    "use_correlation": True,
    "class_route": "token_t1d",
    "context_frames": 4,
    "window_size": 9,
    "d_state": 16,
    "bidirectional": False,
    "residual": "post_prior",
}
RECIPE = {
    "min_lr": 1e-6,
    "warmup_epochs": 5,
    "weight_decay": 0.05,
    "betas": [0.9, 0.999],
    "eps": 1e-8,
    "reference_batch": 128,
    "label_smoothing": 0.1,
    "class_weights": None,
    "mixup_alpha": 0.8,
    "cutmix_alpha": 1.0,
    "mix_prob": 1.0,
    "cutmix_prob": 0.5,
    "trains": "all",
}
DATA = {"frame_size": 224, "num_repeats": 2, "repeat_frames": "drawn", "balanced": False}
AUGMENTATION = {
    "scale": [0.08, 1.0],
    "ratio": [0.75, pytest.approx(4 / 3, abs=1e-4)],
    "flip": 0.5,
    "randaugment_magnitude": 7,
    "randaugment_std": 0.5,
    "randaugment_probability": 0.5,
}
# pulling, pushing and turning the camera, left or right
LEFT_AND_RIGHT = [[86, 87], [93, 94], [166, 167]]
SETS = {
    "ssv2": {"classes": 174, "resize": [256, 320], "gray": 0.0, "ops": 4, "flips": LEFT_AND_RIGHT},
    "k400": {"classes": 400, "resize": 256, "gray": 0.2, "ops": 0, "flips": []},
}


def part(settings, expected):
    return {name: settings[name] for name in expected}


@pytest.mark.parametrize("name", FILES)
def test_a_file_trains_and_tests_as_the_paper_and_its_source(name):
    backbone, insert_after, views, epochs, base_lr, layer_decay = FILES[name]
    of_set = SETS[name.partition("_")[0]]
    settings = resolve([f"--config={name}"])
    model, data, trainer = (settings[group] for group in ("model", "data", "trainer"))
    classifier, recipe, augmentation = model["classifier"], model["recipe"], data["augmentation"]
    assert classifier["backbone"] == f"openai/clip-vit-{backbone}"
    assert (classifier["insert_after"], classifier["num_classes"]) == (
        insert_after,
        of_set["classes"],
    )
    assert part(classifier, CLASSIFIER) == CLASSIFIER
    assert (recipe["base_lr"], recipe["layer_decay"]) == (base_lr, layer_decay)
    assert part(recipe, RECIPE) == RECIPE
    assert (data["num_frames"], data["num_clips"], data["num_crops"]) == views
    assert part(data, DATA) == DATA
    assert part(augmentation, AUGMENTATION) == AUGMENTATION
    assert data["resize"] == of_set["resize"]
    assert augmentation["grayscale"] == of_set["gray"]
    assert augmentation["randaugment_num_ops"] == of_set["ops"]
    assert augmentation["flip_label_pairs"] == of_set["flips"]
    assert (trainer["max_epochs"], trainer["precision"]) == (epochs, "bf16-mixed")
    assert data["batch_size"] * 8 == recipe["reference_batch"], "8 GPUs"
    assert data["batch_size"] % 2 == 0, "no clips of one video are mixed with each other"


def test_randaugment_is_off_unless_asked_for_and_then_the_recipes():
    given = Augmentation(randaugment_num_ops=4)
    assert Augmentation().randaugment_num_ops == 0
    assert (given.randaugment_magnitude, given.randaugment_std) == (7.0, 0.5)
    assert given.randaugment_probability == 0.5
