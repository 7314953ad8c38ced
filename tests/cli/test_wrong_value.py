"""A value that a setting may not have is refused with those that it may have."""

import sys

import pytest

from pks4_lightning.__main__ import main
from pks4_lightning.cli.wrong_value import explain_wrong_value


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--data.format", "csvv"], "data.format is csvv; did you mean csv?"),
        (["--data.num_frames", "three"], "data.num_frames is three; it must be a whole number."),
        (["--data.mean", "3"], "data.mean is 3; it must be a list of 3 or null."),
        (
            ["--data.augmentation.scale", "[1]"],
            "data.augmentation.scale is [1]; it must be a list of 2.",
        ),
        (
            ["--data.augmentation.flip_label_pairs", "a"],
            "data.augmentation.flip_label_pairs is a; it must be a list of pairs or null.",
        ),
        (
            ["--data.flexible.num_frames", "a"],
            "data.flexible.num_frames is a; it must be a list of whole numbers or null.",
        ),
        (["--data.predict.x", "1"], "data.predict has no setting x."),
        (
            ["--model.recipe.trains", "nothing"],
            "model.recipe.trains is nothing; it must be all, after_insertion or head.",
        ),
        (
            ["--model.classifier.network", "mamba"],
            "model.classifier.network is mamba; it must be videomamba_ti, videomamba_s, "
            "videomamba_m or null.",
        ),
        (["--trainer.precision", "bf17"], "trainer.precision is bf17; did you mean bf16?"),
        (
            ["--trainer.logger", "WandbLoger"],
            "trainer.logger names WandbLoger, which is not a known class; did you mean "
            "WandbLogger?",
        ),
        (
            ["--trainer.callbacks", "Mine"],
            "trainer.callbacks names Mine, which is not a known class; name it with its module, "
            "as in my_module.MyClass.",
        ),
        (
            ["--trainer.callbacks", "lightning.pytorch.callbacks.EarlyStoping"],
            "trainer.callbacks names lightning.pytorch.callbacks.EarlyStoping, which is not a "
            "known class; did you mean lightning.pytorch.callbacks.EarlyStopping?",
        ),
        (
            ["--trainer.callbacks", "EarlyStopping", "--trainer.callbacks.monitr", "val/top1"],
            "lightning.pytorch.callbacks.EarlyStopping has no option monitr; did you mean monitor?",
        ),
    ],
    ids=lambda value: value[0].removeprefix("--") if isinstance(value, list) else "",
)
def test_it_is_one_sentence_with_what_was_meant(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["fit", "--config", "first_look", *arguments])
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"pks4: error: {sentence}\n"


def test_a_type_without_words_is_left_to_the_parser(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--config", "first_look", "--data.augmentation.flip_label_pairs", "a"])
    assert "data.augmentation.flip_label_pairs" in capsys.readouterr().err


def test_text_of_a_value_imports_nothing():
    text = "class_path 'antigravity.Flight': Option 'speed' is not accepted"
    said = explain_wrong_value(f'Parser key "data.root": Expected a thing. Got value: {text}')
    assert said == "antigravity.Flight has no option speed."
    assert "antigravity" not in sys.modules


def test_a_type_without_a_word_is_left_to_the_parser():
    message = (
        'Parser key "data.x": No subtype fits. Subtypes: [{}] Errors: - none Given value type: '
        "<class 'str'> Given value: three"
    )
    assert explain_wrong_value(message.format("<class 'Thing'>, <class 'int'>")) is None
    assert explain_wrong_value(message.format("list[Thing]")) is None
    said = explain_wrong_value(message.format("<class 'float'>, <class 'int'>"))
    assert said == "data.x is three; it must be a number or a whole number."
