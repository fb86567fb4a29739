"""Docstrings as Markdown: `name: meaning` lines become list items, examples become code."""

import re

import griffe

NAMES = r"((?:\w+, )*\w+): (?=\S)"
ITEM, NEXT = (
    re.compile(f"^{NAMES}"),
    re.compile(rf"(?<=\S)  (?={NAMES})"),
)  # two spaces part items of one line


def markdown(text: str) -> str:
    """Code after `>>>` up to a blank line, items for arguments, everything else as it is."""
    found, code, item = [], False, False
    for line in [*NEXT.sub("\n", text).splitlines(), ""]:
        if line.lstrip().startswith(">>>") and not code:
            found += ["", "```pycon"]
            code = True
        elif code and not line.strip():
            found.append("```")
            code = False
        start = not code and ITEM.match(line)
        if bool(start) != item and not line.startswith(" "):
            found.append("")
        item = bool(start) or (item and line.startswith(" "))
        line = line if code else line.replace("*", r"\*")
        found.append(ITEM.sub(r"- `\1`: ", line) if start else line)
    return "\n".join(found)


class Docstrings(griffe.Extension):
    def on_instance(self, *, obj, **_):
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)
