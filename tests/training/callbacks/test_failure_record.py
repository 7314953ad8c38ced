"""The file that names the training videos which could not be decoded."""

from types import SimpleNamespace

from pks4_lightning.training.callbacks.failure_record import FailureRecord


def test_names_of_any_bytes_are_recorded(tmp_path):
    record = FailureRecord()
    sentences = ["'caf\udce9.mp4' is empty.", "'a.mp4' is missing."]
    source = SimpleNamespace(failed_train_videos=lambda: sentences)
    record.task = SimpleNamespace(source=source)
    trainer = SimpleNamespace(default_root_dir=tmp_path, is_global_zero=True)
    record.on_train_epoch_end(trainer, None)
    written = (tmp_path / "failed_train.txt").read_bytes()
    assert written == b"'a.mp4' is missing.\n'caf\xe9.mp4' is empty.\n"
