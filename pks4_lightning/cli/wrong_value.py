"""Say in a sentence which value a setting may not have, and which it may."""

import inspect
import re
import sys

from lightning.pytorch import callbacks, loggers, profilers, strategies

from pks4_lightning.suggestions import did_you_mean

__all__ = ["explain_wrong_value"]

_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "NoneType": "null",
}

_PLURALS = {"int": "whole numbers", "float": "numbers", "str": "texts", "pair": "pairs"}


def explain_wrong_value(message: str) -> str | None:
    """Explain a value that jsonargparse refuses.

    Args:
        message: Its error message, which lists Python's types.

    Returns:
        The sentence, or ``None`` if the message is about something else.
    """
    text = " ".join(message.split())
    key = re.match(r'Parser key "([\w.]+)":', text)
    value = re.search(r" (?:Given|Got) value: (.+?)\.?$", text)
    if key is None or value is None:
        return None
    if option := re.search(r"class_path '([\w.]+)': Option '(\w+)' is not accepted", text):
        known = _options(option[1])
        return f"{option[1]} has no option {option[2]}" + did_you_mean(option[2], known)
    if option := re.match(r"NestedArg\(key='(\w+)'", value[1]):
        return f"{key[1]} has no setting {option[1]}."
    if re.search(r"Expected a path but [\w.]+ either not accessible", text):
        return f"{key[1]} names {value[1]}, which is not a known class" + did_you_mean(
            value[1], _classes(value[1]), "name it with its module, as in my_module.MyClass"
        )
    kinds = re.search(r"Subtypes: \[(.+?)\] (?:Errors|Given)", text) or re.search(
        r"Expected an? (.+?)\. Got value", text
    )
    choices, words = ([], None) if kinds is None else _kinds(kinds[1])
    if words is None:
        return None
    *others, last = [*choices, *words]
    wanted = f"{', '.join(others)} or {last}" if others else last
    return f"{key[1]} is {value[1]}" + did_you_mean(value[1], choices, f"it must be {wanted}")


def _kinds(text: str) -> tuple[list[str], list[str] | None]:
    """Return the choices among types, and the other types in words; ``None`` if one is unknown."""
    choices: dict[str, None] = {}
    text = re.sub(
        r"tuple\[([^\[\]]+)\]", lambda found: f"tuple with {found[1].count(',') + 1} elements", text
    )
    text = text.replace("list[tuple with 2 elements]", "list[pair]")
    for literal in re.findall(r"typing\.Literal\[(.+?)\]", text):
        choices |= dict.fromkeys(each.strip("'") for each in literal.split(", "))
    rest = re.sub(r"typing\.Literal\[.+?\]", "", text)
    words = []
    pattern = r"<class '(\w+)'>|tuple with (\d+) elements|list\[(\w+)\]"
    for name, length, item in re.findall(pattern, rest):
        if (name and name not in _WORDS) or (item and item not in _PLURALS):
            return [], None
        words.append(_WORDS[name] if name else f"a list of {length or _PLURALS[item]}")
    rest = re.sub(pattern, "", rest)
    return list(choices), words if not rest.strip(", ") and (choices or words) else None


def _options(path: str) -> list[str]:
    """Return the options of a class; nothing is imported, because a value may be anybody's text."""
    module, _, name = path.rpartition(".")
    found = getattr(sys.modules.get(module), name, None)
    return list(inspect.signature(found).parameters) if inspect.isclass(found) else []


def _classes(name: str) -> list[str]:
    """Return Lightning's building blocks, and what the module of a name holds if it is loaded."""
    module, _, _ = name.rpartition(".")
    if module in sys.modules:
        return [f"{module}.{each}" for each in vars(sys.modules[module])]
    return [*callbacks.__all__, *loggers.__all__, *profilers.__all__, *strategies.__all__]
