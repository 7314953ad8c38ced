"""The public names of the packages, which are imported only on first use."""

import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import pks4_lightning

PUBLIC = {
    "pks4_lightning": """
        PKS4Classifier PKS4Config PKS4ForVideoClassification VideoClassificationTask
        VideoDataModule __version__ build_classifier load load_classifier selective_scan
    """,
    "pks4_lightning.ops": """
        ScanBackend causal_conv_silu context_offsets local_correlation portable_ops resize_patches
        scan_backend selective_scan selective_scan_naive shift_frames temporal_variation
    """,
    "pks4_lightning.models": """
        ClassTokenRoute ClipInput CorrelationOperator KS4Scanner KinematicPriorEncoder
        PKS4Classifier PKS4Config PKS4Module VariationOperator build_classifier load_classifier
        resolve_backbone_config save_weights
    """,
    "pks4_lightning.data": """
        Augmentation CentredSegmentClipSampler FlexibleScales FrameFolder RandomSegmentClipSampler
        SegmentClipSampler Video VideoDataModule VideoDecodeError VideoList
    """,
    "pks4_lightning.training": """
        Label Prediction Recipe TaskCallback VideoClassificationTask VideoScores ViewScores
        read_checkpoint score_videos
    """,
    "pks4_lightning.training.callbacks": """
        FailureRecord FiniteGuard LastCheckpoint LineProgress MemoryAdvice NotFiniteError
        PredictionWriter Preemption ReportWriter RunCost RunSummary ValidationPictures Watchdog
    """,
    "pks4_lightning.cost": """
        CostSettings Flops SavedForBackward Traffic cost_report count_flops count_parameters
        count_traffic crossover measured_peak saved_for_backward scale_frame_size scale_num_frames
        total_flops training_eflops
    """,
    "pks4_lightning.pictures": """
        MotionMaps PriorMaps confusion_matrix_figure heat_map_figure learning_curves motion_figure
        prior_figure prior_maps scaling_figure sweep_figure trade_off_figure
    """,
    "pks4_lightning.paper": """
        Column Row Table printed_digits printed_number read_table
    """,
    "pks4_lightning.peers": """
        AIM EVL Peer STAdapter Side4Video VideoMamba load_published
    """,
    "pks4_lightning.timeline": """
        Answer Caption Follower Labelled Moments Segment Source Window compute_windows find_moments
        find_segments follower open_source plan_windows window_clips write_overlay write_segments
    """,
    "pks4_lightning.experiments": """
        Arm Estimate Fold GroupedClip Result Runs Trial compare comparison_table cross_validate
        estimate grouped_folds plan_trials read_clips read_results results_table run_trials
        summarise
    """,
    "pks4_lightning.cli": """
        ArgumentsError Settings data_module find_config resolve saved_settings
    """,
}


@pytest.mark.parametrize("package", PUBLIC)
def test_the_public_names_are_these_and_documented(package):
    module = import_module(package)
    assert sorted(module.__all__) == PUBLIC[package].split()
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__module__.startswith(package)
            assert inspect.getdoc(value), name


@pytest.mark.parametrize("package", PUBLIC)
def test_a_public_name_is_no_module_as_well(package):
    """Importing such a module would replace the public name."""
    folder = Path(import_module(package).__file__).parent
    modules = {path.stem for path in folder.iterdir() if path.suffix in ("", ".py")}
    assert not modules & set(PUBLIC[package].split())


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'pks4_lightning' has no attribute 'PKS4Classifer'"):
        _ = pks4_lightning.PKS4Classifer
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec("from pks4_lightning.models import nothing")


def test_importing_the_packages_loads_nothing_heavy():
    code = (
        f"import sys, {', '.join(PUBLIC)}\n"
        "dir(pks4_lightning)\n"
        "print(*sorted({'torch', 'lightning', 'numpy', 'yaml'} & set(sys.modules)))\n"
        "pks4_lightning.PKS4Config(num_classes=2)\n"
        "print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["", "False"]


@pytest.mark.slow
def test_importing_an_operator_loads_no_kernels():
    kernels = "[name for name in sys.modules if name.startswith('pks4') and 'triton' in name]"
    code = f"import sys, pks4_lightning.ops.scan.selective_scan; print({kernels})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
