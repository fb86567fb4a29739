"""The types of the settings: numbers within bounds, names that become paths, lists without repetition.

In YAML, values are numbers, booleans or texts. On Snakemake's command line all are texts.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, FiniteFloat
from pydantic_core import PydanticCustomError

from uae.data import catalogue

# Names become files, folders and words of commands. Three of them and a suffix fit into a file's name.
NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
NAME_RULE = "a name has at most 64 letters, digits and ._@+-, begins with a letter or digit and has no '..'"
# A path in a job's settings: letters of any language, but no character that is special in a shell or pattern
PATH = re.compile(r"(?!-|.*/-)[\w.@+,=~/ -]{1,1000}")
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[\w.@+,=~/:?&%#-]{1,1000}")


def _whole(value: Any) -> Any:
    if isinstance(value, bool | float):
        raise PydanticCustomError("int_type", "Input should be a valid integer")
    return value


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("float_type", "Input should be a valid number")
    return value


def _yes_or_no(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise PydanticCustomError("bool_type", "Input should be true or false")
    return value


def _above_rounding(value: float) -> float:
    if value < 1e-12:
        raise ValueError("too small for float32: at least 1e-12")
    return value


def fraction(value: Any) -> Any:
    """A bound may be a fraction, as papers print it: 8/255."""
    if not isinstance(value, str):
        return value
    try:
        if match := re.fullmatch(r"([0-9]{1,9}) ?/ ?([0-9]{1,9})", value):
            return int(match[1]) / int(match[2])
        if math.isfinite(number := float(value)):
            return number
    except (ValueError, ArithmeticError):  # no fraction, or a division by 0
        pass
    raise ValueError(f"{short(value)} is neither a number nor a fraction such as 8/255")


def name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError(NAME_RULE)
    return value


def known_data(value: str) -> str:
    if len(value) > 100:
        raise ValueError("a data name has at most 100 characters")
    catalogue.lookup(value)
    return value


def there(value: str) -> str:
    if not PATH.fullmatch(value):
        raise ValueError("a path has letters, digits, spaces and ._@+,=~/-, and no part that begins with -")
    if max(len(part.encode()) for part in value.split("/")) > 255 or not Path(value).is_file():
        raise ValueError(f"{value}: no such file")
    return value


def published_or_there(value: str) -> str:
    """A published model's name or an existing file."""
    return value if value in catalogue.models() else there(value)


def there_or_address(value: str) -> str:
    """An address or an existing file. Only the code that uses an address opens it."""
    if "://" not in value:
        return there(value)
    if not ADDRESS.fullmatch(value):
        raise ValueError("an address has letters, digits and ._@+,=~/:?&%#- only")
    return value


def unique(values: Any) -> Any:
    """Refuse repeated values. Numbers count as equal if six digits agree, as in the names of files."""
    seen = set()
    for value in values:
        text = f"{value:g}" if isinstance(value, float) else str(value)
        if text in seen:
            raise ValueError(f"{text} is given twice")
        seen.add(text)
    return values


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """A JSON value whose numbers a network can be built with."""
    left, seen = [values], 0
    while left:
        value, seen = left.pop(), seen + 1
        if isinstance(value, dict | list) and seen + len(left) + len(value) <= 1000:
            left += value.values() if isinstance(value, dict) else value
        elif isinstance(value, int | float) and not 0 <= value <= 1_000_000:  # NaN fails, too
            raise ValueError(f"{short(value)} is not a number from 0 to 1,000,000")
        elif not isinstance(value, str | int | float | None):
            raise ValueError(f"{short(value)} is not a number, text, boolean or a short list of them")
    return values


def short(value: Any) -> str:
    """The given value on one short line, however large or deep it is."""
    return _short(value, 3)


def _short(value: Any, levels: int) -> str:
    if isinstance(value, dict | list | tuple):
        pairs = value.items() if isinstance(value, dict) else ((None, item) for item in value)
        items = []
        for number, (key, item) in enumerate(pairs):
            if not levels or number == 4:
                items.append("...")
                break
            text = _short(item, levels - 1)
            items.append(f"{_short(key, 0)}: {text}" if isinstance(value, dict) else text)
        text = ", ".join(items)
        return f"{{{text}}}" if isinstance(value, dict) else f"[{text}]"
    if isinstance(value, int) and value.bit_length() > 300:
        return "a whole number of more than 90 digits"
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:90]}...{text[-5:]}"


# The bounds stop typing errors. No machine does more, and float32 has no smaller or larger useful numbers.
Count = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=1_000_000)]
CountFromZero = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=1_000_000)]
Several = Annotated[Count, Field(ge=2)]
Runs = Annotated[Count, Field(le=1000)]  # each value is one or several jobs
Seed = Annotated[int, BeforeValidator(_whole), Field(ge=0, lt=2**63)]
Real = Annotated[FiniteFloat, BeforeValidator(_number), Field(ge=-1e6, le=1e6)]
NotNegative = Annotated[FiniteFloat, BeforeValidator(_number), Field(ge=0, le=1e6)]
Positive = Annotated[
    FiniteFloat, BeforeValidator(_number), Field(gt=0, le=1e6), AfterValidator(_above_rounding)
]
Fraction = Annotated[str, Field(pattern=r"^[0-9]{1,9} ?/ ?[0-9]{1,9}$")]
Bound = Annotated[Positive, BeforeValidator(fraction, json_schema_input_type=Positive | Fraction)]
Flag = Annotated[bool, BeforeValidator(_yes_or_no)]
Name = Annotated[str, AfterValidator(name)]
KnownData = Annotated[str, AfterValidator(known_data)]
PublishedOrFile = Annotated[str, AfterValidator(published_or_there)]
FileOrAddress = Annotated[str, AfterValidator(there_or_address)]
Arguments = Annotated[dict[str, Any], AfterValidator(_plain)]
Seeds = Annotated[list[Seed], Field(min_length=1, max_length=1000), AfterValidator(unique)]
Numbers = Annotated[list[Positive], Field(min_length=1, max_length=1000), AfterValidator(unique)]
Bounds = Annotated[list[Bound], Field(min_length=1, max_length=1000), AfterValidator(unique)]
Unique = AfterValidator(unique)
