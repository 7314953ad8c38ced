"""The page's answer to an upload, and the removal of the upload afterwards."""

import re
import shutil
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
import torch

import pks4_lightning
from pks4_lightning.app.answering import Page, answer_upload
from pks4_lightning.app.examination import (
    Answer,
    ShownView,
    describe,
    examine,
    picture_priors,
    watch,
)
from pks4_lightning.app.model_process import NoAnswerError, outcome
from pks4_lightning.app.rendering import answer_html, classes_html, seen_html
from pks4_lightning.training.scoring.predictions import Label
from tests.helpers.media import Clip, write_clip


@pytest.fixture(scope="module")
def model(trained):
    return pks4_lightning.load(trained / "checkpoints" / "best.ckpt", device="cpu")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A clip of four seconds."""
    return write_clip(tmp_path_factory.mktemp("clip") / "clip", Clip(".mp4", num_frames=100))


@pytest.fixture
def uploads(tmp_path, monkeypatch):
    """The folder of uploads; other temporary files are beside it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "uploads").mkdir()
    return tmp_path / "uploads"


@pytest.fixture
def answered(model, uploads):
    """Upload a file under a name, and return the states of the page's answer."""

    def call(function, *arguments, **options):
        is_answer, value = outcome(partial(function, model), *arguments, **options)
        if not is_answer:
            raise NoAnswerError(value)
        return value

    def answered(file, name="clip.mp4", window=2.0):
        upload = uploads / "a1b2" / f"clip{file.suffix}"
        upload.parent.mkdir(exist_ok=True)
        shutil.copy(file, upload)
        return answer_upload(call, upload, name, uploads=uploads, window=window)

    return answered


def left_over(uploads):
    return [path for path in uploads.parent.rglob("*") if path != uploads]


def test_the_answer_is_that_of_predict_and_the_frames_are_those_that_went_in(model, clip):
    answer = examine(model, str(clip), "clip.mp4")
    best = model.predict(clip)
    assert [label.name for label in answer.best] == [label.name for label in best]
    scores = [label.score for label in answer.best]
    assert scores == pytest.approx([label.score for label in best], abs=1e-6)
    (view,) = answer.views
    frames = torch.from_numpy(view.frames).permute(3, 0, 1, 2)
    torch.testing.assert_close(model.normalise(frames[None]), model.preprocess(clip))
    assert view.seconds == pytest.approx([0.48, 1.48, 2.48, 3.48], abs=0.05)
    assert (answer.duration, answer.num_frames) == (pytest.approx(4.0), 100)
    assert describe(model).window == 4.0


def test_the_priors_are_drawn_on_the_frames_of_a_view(model, clip):
    (view,) = examine(model, str(clip), "clip.mp4").views
    picture = picture_priors(model, view)
    assert picture.startswith("<svg")
    assert picture.count("<image") == 4 + 2 * (3 + 1)  # frames; two kinds of maps, each with legend
    assert all(f">{when:.2f} s</text>" in picture for when in view.seconds)
    assert picture_priors(model, view._replace(frames=view.frames[:1])) is None


def test_views_are_shown_up_to_six(model, clip, monkeypatch):
    monkeypatch.setattr(model, "num_clips", 4)
    monkeypatch.setattr(model, "num_crops", 3)
    answer = examine(model, str(clip), "clip.mp4")
    assert answer.num_views == 12
    names = [view.name for view in answer.views]
    assert names == [f"Clip {k}, crop {c} of 3" for k in (1, 2) for c in (1, 2, 3)]
    assert answer.best == model.predict(clip), "averaged by the same function"
    html = seen_html(answer)
    assert all(name in html for name in names)
    assert "The average includes 6 more." in html


def test_a_page_is_answered_step_by_step_and_the_upload_is_removed(answered, clip, uploads):
    steps = answered(clip, name="<b>ä.mp4")
    first = next(steps)
    assert "Analysing &lt;b&gt;ä.mp4" in first.answer
    before, page = steps
    assert before == page._replace(priors="")
    assert "&lt;b&gt;ä.mp4" in page.answer
    assert "<b>ä" not in page.answer
    assert len(re.findall(r"data:image/jpeg", page.seen)) == 4
    assert "What the priors find" in page.priors
    assert not page.timeline
    assert not left_over(uploads)


def test_a_long_video_has_a_timeline(model, answered, clip, uploads):
    *_, before, page = answered(clip, window=1.0)
    assert (before.answer, before.seen) == (page.answer, page.seen)
    assert "Computing the timeline" in before.timeline
    timeline = watch(model, str(clip), "clip.mp4", window=1.0)
    assert timeline.segments[0].start == 0.0
    assert timeline.segments[-1].end == pytest.approx(4.0)
    assert page.timeline.count("<tr>") == len(timeline.segments)
    assert "<svg" in page.timeline
    assert not left_over(uploads)


def test_a_timeline_that_fails_leaves_the_answer(answered, clip, uploads):
    *_, page = answered(clip, window=0.01)
    assert 'class="pks4-labels"' in page.answer
    assert "a window must be at least one frame long" in page.timeline
    assert not left_over(uploads)


def bad_files(folder, clip):
    """Return invalid files by a part of the error message for each."""
    whole = clip.read_bytes()
    contents = {
        "invalid data found": b"hello",
        "'clip.mp4'": b"",
        "Cannot decode video 'clip.mp4'": whole[: len(whole) // 2],
    }
    files = {}
    for place, (sentence, content) in enumerate(contents.items()):
        files[sentence] = folder / f"{place}.mp4"
        files[sentence].write_bytes(content)
    files["holds a single image"] = write_clip(folder / "one", Clip(".mp4", num_frames=1))
    files["it contains no video stream"] = folder / "sound.mp4"
    with av.open(str(folder / "sound.mp4"), "w") as container:
        sound = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 8000, 0
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
    return files


def test_bad_input_is_one_sentence(answered, clip, uploads, tmp_path_factory):
    for sentence, file in bad_files(tmp_path_factory.mktemp("bad"), clip).items():
        *_, page = answered(file)
        assert sentence in page.answer.replace("&#x27;", "'")
        assert 'role="alert"' in page.answer
        assert page.answer.count(".</p>") == 1
        assert page == Page(page.answer)
        assert not left_over(uploads)


def test_only_uploads_are_read_and_removed(clip, uploads):
    *_, page = answer_upload(pytest.fail, clip, "x", uploads=uploads, window=2.0)
    assert "drop the video again" in page.answer
    assert clip.exists()
    gone = uploads / "gone.mp4"
    *_, page = answer_upload(pytest.fail, gone, "x", uploads=uploads, window=2.0)
    assert "drop the video again" in page.answer


def test_uploads_of_the_same_content_do_not_take_each_others_file(clip, uploads):
    place = uploads / "a1b2" / "clip.mp4"
    place.parent.mkdir()

    def upload():
        shutil.copy(clip, place)  # where Gradio stores this content
        steps = answer_upload(read, place, "clip.mp4", uploads=uploads, window=2.0)
        next(steps)
        return steps

    def read(_function, file, _name):
        raise NoAnswerError(f"It has {Path(file).stat().st_size} bytes.")

    everything = f"It has {clip.stat().st_size} bytes."
    first = upload()
    place.unlink()
    second = upload()  # while the first one is still waiting
    for waiting, left in ((first, [place.parent, place]), (second, [])):
        *_, page = waiting
        assert everything in page.answer
        assert sorted(uploads.rglob("*")) == left
    assert not left_over(uploads)


def test_an_upload_whose_page_was_closed_is_removed_too(answered, clip, uploads):
    steps = answered(clip)
    next(steps)
    assert left_over(uploads)
    steps.close()
    assert not left_over(uploads)


def test_internal_errors_are_logged_where_the_page_was_started(capfd):
    def broken():
        raise RuntimeError("a bug")

    is_answer, sentence = outcome(broken)
    assert not is_answer
    assert sentence.startswith("RuntimeError: see the terminal in which")
    assert "a bug" in capfd.readouterr().err


def test_file_names_are_shown_as_plain_text():
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    view = ShownView("<i>", [0.0, 1.0], frames)
    answer = Answer(2.0, 50, [Label("<script>", 0.75)], 1, [view])
    html = answer_html(answer, "n" * 500) + seen_html(answer) + classes_html(["b", "<script>", "A"])
    assert "<script>" not in html
    assert "<i>" not in html
    assert "n" * 80 not in html
    assert "75.0%" in html
    assert "<li>A</li><li>b</li>" in html
