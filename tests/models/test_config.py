import subprocess
import sys

import pytest

from pks4_lightning.models.config import PKS4Config


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"num_classes": 0}, r"num_classes is 0; it must be at least 1"),
        ({"insert_after": 0}, r"insert_after is 0; it must be at least 1"),
        ({"d_state": -1}, r"d_state is -1; it must be at least 1"),
        ({"dt_rank": 0}, r"dt_rank is 0; it must be at least 1"),
        ({"context_frames": 3}, r"context_frames is 3; it must be even"),
        ({"context_frames": -2}, r"context_frames is -2; it must be even and not negative"),
        ({"window_size": 8}, r"window_size is 8; it must be odd"),
        ({"use_scanner": False}, r"use_variation \(true\) needs the scanner"),
        (
            {"use_scanner": False, "use_variation": False},
            r"use_correlation \(true\) needs the scanner",
        ),
        (
            {
                "use_scanner": False,
                "use_variation": False,
                "use_correlation": False,
                "bidirectional": True,
            },
            r"bidirectional \(true\) needs the scanner",
        ),
        ({"dt_min": 0.0}, r"dt_min is 0.0; it must be above 0 and at most dt_max \(0.1\)"),
        ({"dt_min": 0.2}, r"dt_min is 0.2; it must be above 0 and at most dt_max \(0.1\)"),
        (
            {"scanner": "none", "residual": "single"},
            r"scanner \(none\) with residual single .*leave residual at post_prior",
        ),
        (
            {
                "scanner": "none",
                "use_variation": False,
                "use_correlation": False,
            },
            r"scanner \(none\) needs a prior: set use_variation",
        ),
        (
            {"scanner": "none", "residual": "literal", "bidirectional": True},
            r"scanner \(none\) has no direction: set bidirectional to false",
        ),
        (
            {"scanner": "attention", "causal": True},
            r"scanner \(attention\) reads the whole clip at once: set causal to false",
        ),
        (
            {"scanner": "attention", "bidirectional": True},
            r"scanner \(attention\) reads the whole clip at once: set bidirectional to false",
        ),
    ],
    ids=lambda x: ",".join(x) if isinstance(x, dict) else "",
)
def test_impossible_values_are_refused_by_name(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        PKS4Config(**{"num_classes": 5, **settings})


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"temporal": "none"}, r"temporal \(none\) must be one of pks4, frame_average, tsm"),
        ({"temporal": None}, r"temporal \(None\) must be one of pks4"),
        ({"network": "resnet"}, r"network \(resnet\) must be one of videomamba_ti, .*, None"),
        ({"residual": "post"}, r"residual \(post\) must be one of single, post_prior, literal"),
        ({"grid_size": "whole"}, r"grid_size is whole; it must be at least 1, 'own' for"),
        ({"scanner": 3}, r"scanner \(3\) is neither one of mamba, none, gru, attention"),
    ],
    ids=str,
)
def test_names_of_nothing_are_refused_with_those_that_exist(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        PKS4Config(num_classes=5, **settings)


def test_defaults_are_the_papers_main_model():
    config = PKS4Config(num_classes=174)
    assert config.backbone == "openai/clip-vit-base-patch16"
    assert (config.insert_after, config.context_frames, config.window_size) == (8, 4, 9)
    assert (config.d_state, config.class_route, config.bidirectional) == (16, "token_t1d", False)


def test_importing_the_config_does_not_import_torch():
    command = "import sys, pks4_lightning.models.config; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", command], check=True)
