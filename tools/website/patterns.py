"""A trigger's pattern in the words of JavaScript. What JavaScript does not have is refused, and a test translates every family's."""

from __future__ import annotations

import re

_GROUP = re.compile(r"\(\?(?P<kind>P<(?P<name>\w+)>|P=(?P<back>\w+)\)|:|=|!|<=|<!|(?P<flags>[is]+)(?P<end>[:)]))?")


class Untranslatable(ValueError):
    """The pattern uses what JavaScript has no word for."""


def javascript(pattern: str) -> tuple[str, str]:
    """The pattern and its flags; groups lose their names, `.` matches line ends as triggers have it."""
    re.compile(pattern)
    made, flags, groups, names, i = [], "s", 0, {}, 0
    while i < len(pattern):
        char = pattern[i]
        if char == "\\":
            made.append({"\\A": "^", "\\Z": "$"}.get(pattern[i : i + 2], pattern[i : i + 2]))
            i += 2
        elif char == "[":
            end = _class_end(pattern, i)
            made.append(_class(pattern[i:end]))
            i = end
        elif char == "(" and pattern[i + 1 : i + 2] == "?":
            match = _GROUP.match(pattern, i)
            if match is None or match["kind"] is None:
                raise Untranslatable(f"{pattern[i : i + 4]!r} in {pattern!r}")
            if match["name"]:
                groups += 1
                names[match["name"]] = groups
                made.append("(")
            elif match["back"]:
                made.append(f"\\{names[match['back']]}")
            elif match["flags"]:
                flags = "".join(
                    sorted({*flags, *match["flags"]})
                )  # a part that takes either case widens the whole, which a search can bear
                made.append("(?:" if match["end"] == ":" else "")
            else:
                made.append(match[0])
            i = match.end()
        else:
            groups += char == "("
            made.append("{0," if pattern.startswith("{,", i) else char)
            i += 2 if pattern.startswith("{,", i) else 1
    return "".join(made), flags


def _class_end(pattern: str, start: int) -> int:
    i = start + 1 + (pattern[start + 1] == "^")
    i += pattern[i] == "]"
    while pattern[i] != "]":
        i += 2 if pattern[i] == "\\" else 1
    return i + 1


def _class(text: str) -> str:
    """A `]` that stands first is meant literally in Python."""
    negated = text[1] == "^"
    inner = text[2 if negated else 1 : -1]
    return f"[{'^' if negated else ''}{chr(92) + inner if inner.startswith(']') else inner}]"
