import math
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
        ({"temporal": "none"}, "temporal is 'none'; it must be pks4, frame_average, tsm, .*"),
        ({"temporal": None}, "temporal is None; it must be pks4, .*"),
        ({"network": "resnet"}, "network is 'resnet'; it must be videomamba_ti, .* or null"),
        ({"residual": "post"}, "residual is 'post'; it must be single, post_prior or literal"),
        ({"grid_size": "whole"}, "grid_size is 'whole'; it must be a whole number, own or null"),
        ({"grid_size": True}, "grid_size is True; it must be a whole number, own or null"),
        ({"scanner": 3}, "scanner is 3; it must be mamba, none, gru, attention or a text"),
        ({"num_classes": "5"}, "num_classes is '5'; it must be a whole number"),
        ({"context_frames": 4.0}, "context_frames is 4.0; it must be a whole number"),
        ({"dt_rank": 2.5}, "dt_rank is 2.5; it must be a whole number or null"),
        ({"d_prior": None}, "d_prior is None; it must be a whole number"),
        ({"causal": "yes"}, "causal is 'yes'; it must be true or false"),
        ({"compile": "x"}, "compile is 'x'; it must be true or false"),
        ({"dt_max": math.inf}, "dt_max is inf; it must be a finite number"),
        ({"backbone_config": [1]}, r"backbone_config is \[1\]; it must be a mapping or null"),
    ],
    ids=str,
)
def test_values_that_a_field_cannot_have_are_refused_with_those_it_can(settings, sentence):
    with pytest.raises(ValueError, match=rf"^model\.classifier\.{sentence}\.$"):
        PKS4Config(**{"num_classes": 5, **settings})


def test_defaults_are_the_papers_main_model():
    config = PKS4Config(num_classes=174)
    assert config.backbone == "openai/clip-vit-base-patch16"
    assert (config.insert_after, config.context_frames, config.window_size) == (8, 4, 9)
    assert (config.d_state, config.class_route, config.bidirectional) == (16, "token_t1d", False)


def test_importing_the_config_does_not_import_torch():
    command = "import sys, pks4_lightning.models.config; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", command], check=True)
