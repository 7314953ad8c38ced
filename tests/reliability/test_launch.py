"""Tests of the launcher: commands run, end and can be killed, and leave no process behind."""

import signal


def test_a_command_runs_as_a_process_of_its_own(launcher, tiny_args, tmp_path):
    process = launcher.start("fit", *tiny_args, f"--trainer.default_root_dir={tmp_path / 'run'}")
    assert process.wait() == 0, process.text()
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()
    assert process.family() == []


def test_a_command_can_be_killed_with_all_that_it_started(launcher, tiny_args, tmp_path):
    process = launcher.start(
        "fit",
        *tiny_args,
        "--data.num_workers=1",
        "--trainer.max_epochs=500",
        f"--trainer.default_root_dir={tmp_path / 'run'}",
    )
    process.wait_until(lambda: (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file())
    assert len(process.family()) > 1
    process.send(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.kill_family()
    assert process.family() == []


def test_two_ranks_train_together(launcher, tiny_args, tmp_path):
    ranks = launcher.start_ranks(
        "fit", *tiny_args, "--trainer.devices=2", f"--trainer.default_root_dir={tmp_path / 'run'}"
    )
    assert [rank.wait() for rank in ranks] == [0, 0], ranks[0].text()
