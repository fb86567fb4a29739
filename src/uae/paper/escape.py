"""Escape text for LaTeX, Markdown, HTML and CSV: a foreign name is never a command, markup or formula."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "{}$&#%_"},
    **{character: f"{{{character}}}" for character in "[]*"},  # after a row's end they would be its options
}
MARKDOWN = {
    **{"<": "&lt;", ">": "&gt;", "&": "&amp;", "|": "&#124;"},
    **{character: f"\\{character}" for character in "\\`*_[]#$~"},
}
# The Unicode of our texts and numbers, in LaTeX
SIGNS = {
    **{"±": r"\pm", "↑": r"\uparrow", "↓": r"\downarrow", "−": "-", "×": r"\times", "≤": r"\le", "≥": r"\ge"},
    **{"≈": r"\approx", "‖": r"\|", "α": r"\alpha", "β": r"\beta", "δ": r"\delta", "ε": r"\epsilon"},
    **{"σ": r"\sigma", "○": r"\circ"},
}
RAISED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
MATHS = re.compile(rf"(?:[{''.join(SIGNS)}]|[⁻⁰¹²³⁴-⁹]+|[₀-₉]+)+")
# A spreadsheet takes a text with these first for a formula, in full width, too
FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]")
# The characters that code in Markdown may hold, among them all characters of data names
CODE = re.compile(r"[\w .,:@+()/-]+", re.ASCII)


def _line(text: str) -> str:
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def latex(text: str) -> str:
    """A foreign name. A letter that LaTeX does not know becomes its Unicode number."""
    return "".join(_letter(c) for c in _line(text))


def _letter(c: str) -> str:
    if c in SIGNS:
        return f"${SIGNS[c]}$"
    return LATEX.get(c, c if c < "\u0180" else f"U+{ord(c):04X}")


def tex(text: str) -> str:
    """One of our texts, with formulas between dollars, Unicode, and code as in Markdown."""
    pieces = re.split(r"(`[^`]*`|\$[^$]*\$)", text)
    for place, piece in enumerate(pieces):
        if piece.startswith("`"):
            pieces[place] = rf"\texttt{{{latex(piece[1:-1])}}}"
        elif not piece.startswith("$"):
            piece = re.sub(r"(?<!\\)[%&#_]", lambda found: "\\" + found[0], piece)
            pieces[place] = MATHS.sub(_formula, piece).replace("–", "--").replace("’", "'")
    return "".join(pieces)


def _formula(found: re.Match[str]) -> str:
    """Signs with superscripts and subscripts, as a formula."""
    text = re.sub("[⁻⁰¹²³⁴-⁹]+", lambda part: f"^{{{part[0].translate(RAISED)}}}", found[0])
    text = re.sub("[₀-₉]+", lambda part: f"_{{{part[0].translate(LOWERED)}}}", text)
    text = "".join(SIGNS.get(c, c) for c in re.sub("([αβδεσ])(?=[αβδεσ])", r"\1 ", text))
    return f"${text}$"


def html(text: str) -> str:
    """One of our texts, with its code as an HTML element."""
    return re.sub("`([^`]*)`", r"<code>\1</code>", escape(text, quote=False))


def markdown(text: str) -> str:
    return "".join(MARKDOWN.get(c, c) for c in _line(text))


def code(text: str) -> str:
    """The text as code in Markdown, where backslashes and entities escape nothing."""
    return f"`{text}`" if CODE.fullmatch(text) else markdown(text)


def cells(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with texts that no spreadsheet computes; numbers are unchanged."""

    def plain(value: object) -> object:
        if not isinstance(value, str):
            return value
        value = value if value.isprintable() else _line(value)
        return f"'{value}" if FORMULA.match(value) else value

    texts = frame.select_dtypes(exclude="number")
    return frame.assign(**{name: texts[name].map(plain) for name in texts})
