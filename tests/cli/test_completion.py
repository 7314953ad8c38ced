"""``pks4 --print_shtab``: shell completion of commands, options and settings."""

import subprocess
import sys

import pytest

from pks4_lightning.__main__ import COMMANDS, main

COMPLETE = """
source {script}
COMP_WORDS=(pks4 {words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_shtab_pks4
echo "${{COMPREPLY[@]}}"
"""


def print_shtab(shell, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--print_shtab", shell])
    return ended.value.code, capsys.readouterr()


def test_bash_completes_commands_options_and_settings(tmp_path, capsys):
    pytest.importorskip("shtab")
    status, said = print_shtab("bash", capsys)
    assert not status
    script = tmp_path / "pks4.bash"
    script.write_text(said.out)

    def completed(words):
        code = COMPLETE.format(script=script, words=words)
        run = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
        return set(run.stdout.split())

    assert completed("''") == {name.split()[0] for name in COMMANDS}
    assert completed("data ''") == {"index", "check", "split", "groups", "show"}
    assert completed("export --to ''") == {"onnx", "torch", "aoti"}
    assert completed("fit --data.num_f") == {"--data.num_frames"}
    assert completed("predict --win") == {"--window"}
    assert "--model.recipe.base_lr" in completed("ablate --model.recipe.")
    (tmp_path / "one.ckpt").touch()
    assert completed(f"test --ckpt_path {tmp_path}/o") == {f"{tmp_path}/one.ckpt"}

    status, said = print_shtab("cmd", capsys)
    assert (status, "--print_shtab cmd: shtab knows bash" in said.err) == (1, True)


def test_without_shtab_a_sentence_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    status, said = print_shtab("bash", capsys)
    assert status == 1
    assert "pip install 'pks4-lightning[completion]'" in said.err
