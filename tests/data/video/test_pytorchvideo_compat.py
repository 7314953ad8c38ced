import subprocess
import sys

import pytest

CHECK = """
import sys, importlib.util
from pks4_lightning.data.video import pytorchvideo_compat
left = [name for name in sys.modules if name.split('.')[0] == 'torchvision']
assert not left, left
assert importlib.util.find_spec('torchvision') is None
import pytorchvideo.data
from pytorchvideo.data.labeled_video_paths import LabeledVideoPaths
try:
    LabeledVideoPaths.from_directory('/')
except ImportError as error:
    print(error)
"""

INSTALLED = """
import sys, types
from importlib.machinery import ModuleSpec
for name in ('torchvision', 'torchvision.datasets', 'torchvision.datasets.folder'):
    module = sys.modules[name] = types.ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
module.make_dataset = original = object()
from pks4_lightning.data.video import pytorchvideo_compat
assert sys.modules['torchvision.datasets.folder'].make_dataset is original
import pytorchvideo.data.labeled_video_paths as paths
assert paths.make_dataset is original
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_leaves_no_torchvision_behind():
    if "torchvision" in sys.modules:
        pytest.skip("torchvision is installed")
    assert "needs torchvision" in run(CHECK)


def test_leaves_an_installed_torchvision_alone():
    run(INSTALLED)
