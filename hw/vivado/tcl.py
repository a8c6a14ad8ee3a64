"""Python values as Tcl words, and Tcl lists as Python lists."""

from collections.abc import Mapping, Sequence

_PLAIN = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:+-,=*()'")
_ESCAPED = {character: "\\" + character for character in '\\{}[]$" ;'} | {"\n": "\\n", "\t": "\\t"}


def word(value: object) -> str:
    """One Tcl word that evaluates to ``value``: nested sequences are lists, mappings are dicts."""
    if isinstance(value, Mapping):
        value = [item for pair in value.items() for item in pair]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "{" + " ".join(word(item) for item in value) + "}"
    if isinstance(value, bool):
        return str(int(value))
    return _quoted(f"{value:g}" if isinstance(value, float) else str(value))


def _quoted(text: str) -> str:
    """``text`` in braces where they may stand, else with backslashes."""
    if text and set(text) <= _PLAIN:
        return text
    if "{" not in text and "}" not in text and "\\" not in text:
        return "{" + text + "}"
    return "".join(_ESCAPED.get(character, character) for character in text)


def split_list(text: str) -> list[str]:
    """The elements of a Tcl list; ValueError if its braces do not match."""
    items, position = [], 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        read = {"{": _braced, '"': _in_quotes}.get(text[position], _bare)
        item, position = read(text, position)
        items.append(item)
    return items


def _braced(text: str, start: int) -> tuple[str, int]:
    depth, position = 0, start
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] in "{}":
            depth += 1 if text[position] == "{" else -1
            if depth == 0:
                return text[start + 1 : position], position + 1
        position += 1
    raise ValueError(f"Tcl list {text[:40]!r} has an open brace")


def _in_quotes(text: str, start: int) -> tuple[str, int]:
    end = text.find('"', start + 1)
    if end < 0:
        raise ValueError(f"Tcl list {text[:40]!r} has an open quote")
    return text[start + 1 : end], end + 1


def _bare(text: str, position: int) -> tuple[str, int]:
    item = ""
    while position < len(text) and not text[position].isspace():
        if text[position] == "\\" and position + 1 < len(text):
            position += 1
        item += text[position]
        position += 1
    return item, position
