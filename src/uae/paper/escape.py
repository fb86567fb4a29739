"""Names of others, as text in LaTeX, Markdown and CSV: a name is no command, markup or formula."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "{}$&#%_"},
}
MARKDOWN = {
    **{"<": "&lt;", ">": "&gt;", "&": "&amp;", "|": "&#124;"},
    **{character: f"\\{character}" for character in "\\`*_[]#$~"},
}
# What a spreadsheet takes for a formula, in full width too
FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]")
# What code in Markdown may hold: all that data names are made of
CODE = re.compile(r"[\w .,:@+()/-]+", re.ASCII)


def _line(text: str) -> str:
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def latex(text: str) -> str:
    return "".join(LATEX.get(c, c) for c in _line(text))


def markdown(text: str) -> str:
    return "".join(MARKDOWN.get(c, c) for c in _line(text))


def code(text: str) -> str:
    """As code in Markdown, where backslashes and entities escape nothing."""
    return f"`{text}`" if CODE.fullmatch(text) else markdown(text)


def cells(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its texts such that no spreadsheet computes them; numbers stay as they are."""

    def plain(value: object) -> object:
        if not isinstance(value, str):
            return value
        value = value if value.isprintable() else _line(value)
        return f"'{value}" if FORMULA.match(value) else value

    texts = frame.select_dtypes(exclude="number")
    return frame.assign(**{name: texts[name].map(plain) for name in texts})
