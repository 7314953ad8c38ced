import pytest

from pks4_lightning.batch import CLIP_MEAN, CLIP_STD, FrameInput
from pks4_lightning.data.clips.frame_settings import FrameSettings
from pks4_lightning.data.datamodule import VideoDataModule

SIGLIP = FrameInput((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 384)


def given(**settings):
    nothing = dict.fromkeys(("frame_size", "resize", "mean", "std"))
    return FrameSettings(**{**nothing, **settings})


def test_missing_settings_are_taken_from_the_model():
    assert given().completed(SIGLIP, is_known=True) == SIGLIP
    smaller = given(frame_size=224).completed(SIGLIP, is_known=True)
    assert smaller == SIGLIP._replace(size=224)
    otherwise = given(mean=CLIP_MEAN).completed(SIGLIP)  # SIGLIP is only a default here
    assert otherwise == SIGLIP._replace(mean=CLIP_MEAN)
    rounded = (0.4815, 0.4578, 0.4082)
    clip = FrameInput(CLIP_MEAN, CLIP_STD, 224)
    assert given(mean=rounded).completed(clip, is_known=True).mean == rounded


@pytest.mark.parametrize("name", ["mean", "std"])
def test_a_normalisation_that_the_model_was_not_trained_with_is_refused(name):
    with pytest.raises(ValueError, match=rf"data\.{name} is \(0\.4, .* trained with \(0\.5, .* or"):
        given(**{name: (0.4, 0.5, 0.5)}).completed(SIGLIP, is_known=True)


@pytest.mark.parametrize(("size", "resize"), [(112, 256), (224, 256), (256, 256), (336, 384)])
def test_frames_are_scaled_with_a_margin(size, resize):
    assert given().resize_for(size) == resize
    assert given(resize=(400, 500)).resize_for(size) == (400, 500)


def test_a_data_module_adopts_the_settings_of_its_model():
    data = VideoDataModule(std=(0.5, 0.5, 0.5))
    assert (data.frame_size, data.scales.resize) == (224, 256)
    assert (data.normalisation.mean, data.normalisation.std) == (CLIP_MEAN, SIGLIP.std)
    assert data.match_frames(SIGLIP, is_known=True) == SIGLIP
    data.match_patches(patch_size=16, grid_size=None)
    assert (data.frame_size, data.scales.resize) == (384, 439)
    assert data.normalisation.mean == SIGLIP.mean
    fixed = VideoDataModule(frame_size=112, resize=128)
    fixed.match_frames(SIGLIP, is_known=True)
    assert (fixed.frame_size, fixed.scales.resize) == (112, 128)
