"""The numbers that people write: ids, amounts of many countries, dates.

The alphabet is the digits, ``. , - / =`` as written, ``$`` for any currency sign, and ``#`` for anything else that is
not a digit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from worker.synthesis.glyphs import pick

ALPHABET = "0123456789.,-/=$#"


def _digits(rng: np.random.Generator, low: int, high: int) -> str:
    return "".join(map(str, rng.integers(0, 10, int(rng.integers(low, high + 1)))))


def _amount(rng: np.random.Generator, high: int = 7) -> str:
    """Draw the digits of an amount: half of the first digits by Benford's law, none is 0; often round or doubled."""
    first = int(10 ** rng.random()) if rng.random() < 0.5 else int(rng.integers(1, 10))
    text = str(first) + _digits(rng, 1, high - 1)
    if rng.random() < 0.4 and len(text) > 2:
        zeros = int(rng.integers(1, len(text)))
        text = text[:-zeros] + "0" * zeros
    elif rng.random() < 0.2:
        at, count = int(rng.integers(len(text))), int(rng.integers(2, 4))
        text = (text[:at] + text[at] * count + text[at + count :])[: max(len(text), count)]
    return text


def group_thousands(digits: str, mark: str) -> str:
    """Group digits by three from the right."""
    return f"{int(digits):,}".replace(",", mark)


def group_lakhs(digits: str, mark: str) -> str:
    """Group digits as India does: the last three, then by two."""
    head, tail = digits[:-3], digits[-3:]
    parts = [tail]
    while head:
        parts.insert(0, head[-2:])
        head = head[:-2]
    return mark.join(parts)


def _plain(rng: np.random.Generator) -> str:
    return _digits(rng, 1, 2) if rng.random() < 0.3 else _digits(rng, 1, 10)


def _ordinal(rng: np.random.Generator) -> str:
    """Draw the number of a row, with the point that some people put behind it."""
    return _digits(rng, 1, 3) + "."


def _latin_amount(rng: np.random.Generator) -> str:
    mark = (".", ",", "")[pick(rng, (0.65, 0.1, 0.25))]
    text = group_thousands(_amount(rng), mark)
    endings = ("", ".", ".-", "-", "=", ",-", ",", ".=", "--", ".--", "#")
    ending = endings[pick(rng, (0.36, 0.12, 0.14, 0.13, 0.08, 0.05, 0.05, 0.02, 0.02, 0.02, 0.01))]
    beginning = ("", "$", "=", "-", "#")[pick(rng, (0.84, 0.08, 0.03, 0.03, 0.02))]
    return f"{beginning}{text}{ending}"


def _indian_amount(rng: np.random.Generator) -> str:
    mark = (",", ".", "")[pick(rng, (0.84, 0.06, 0.1))]
    text = group_lakhs(_amount(rng, 9), mark)
    ending = ("/-", "", "/=", "-", ".00", "/")[pick(rng, (0.62, 0.22, 0.05, 0.03, 0.05, 0.03))]
    return f"{'$' if rng.random() < 0.45 else ''}{text}{ending}"


def _decimal_amount(rng: np.random.Generator) -> str:
    dot, comma = (".", ",") if rng.random() < 0.6 else (",", ".")
    text = group_thousands(_amount(rng, 6), comma if rng.random() < 0.4 else "")
    cents = ("00", "50", "99")[int(rng.integers(3))] if rng.random() < 0.3 else _digits(rng, 2, 2)
    return f"{'$' if rng.random() < 0.3 else ''}{text}{dot}{cents}"


def _hundredths(rng: np.random.Generator) -> str:
    cents = ("00", "##")[int(rng.integers(2))] if rng.random() < 0.5 else _digits(rng, 2, 2)
    return f"{'$' if rng.random() < 0.3 else ''}{_amount(rng, 5)}{cents}/100"


def _date(rng: np.random.Generator) -> str:
    day, month = int(rng.integers(1, 32)), int(rng.integers(1, 13))
    year = int(rng.integers(1920, 2040))
    parts = [f"{day:02d}", f"{month:02d}"] if rng.random() < 0.6 else [str(day), str(month)]
    if rng.random() < 0.3:
        parts.reverse()
    parts.append(str(year) if rng.random() < 0.6 else f"{year % 100:02d}")
    return ("/", "-", ".", "")[pick(rng, (0.4, 0.25, 0.2, 0.15))].join(parts)


def _spoilt(rng: np.random.Generator) -> str:
    text = list(_digits(rng, 2, 8))
    for _ in range(int(rng.integers(1, 3))):
        text.insert(int(rng.integers(len(text) + 1)), "#")
    return "".join(text)


_KINDS: tuple[tuple[float, Callable[[np.random.Generator], str]], ...] = (
    (0.28, _plain),
    (0.03, _ordinal),
    (0.25, _latin_amount),
    (0.18, _indian_amount),
    (0.09, _decimal_amount),
    (0.03, _hundredths),
    (0.09, _date),
    (0.05, _spoilt),
)


def _decimal(rng: np.random.Generator) -> str:
    """Draw a number with decimals: 12.5, 0,75, .75, -3.125."""
    whole = ("", "0", _digits(rng, 1, 1), _digits(rng, 2, 4))[pick(rng, (0.3, 0.1, 0.2, 0.4))]
    places = 1 + pick(rng, (0.5, 0.35, 0.15))
    return f"{_sign(rng)}{whole}{'.' if rng.random() < 0.6 else ','}{_digits(rng, places, places)}"


def _signed(rng: np.random.Generator) -> str:
    return f"-{_digits(rng, 1, 5)}"


def _grouped(rng: np.random.Generator) -> str:
    """Draw digits in two or three groups: a range, a fraction, a time, thousands behind apostrophes."""
    mark = ("-", "/", ":", "'", ".", ",")[pick(rng, (0.22, 0.18, 0.25, 0.15, 0.1, 0.1))]
    if mark == "'":
        return group_thousands(_amount(rng), mark)
    groups = 2 if mark == ":" or rng.random() < 0.75 else 3
    return mark.join(_digits(rng, 1, 2 if mark == ":" else 3) for _ in range(groups))


def _with_unit(rng: np.random.Generator) -> str:
    """Draw a number with its unit behind it."""
    unit = UNITS[int(rng.integers(len(UNITS)))]
    return (_digits(rng, 1, 4) if rng.random() < 0.6 else _decimal(rng)) + unit


def _sign(rng: np.random.Generator) -> str:
    return "-" if rng.random() < 0.15 else ""


UNITS = ("%", "m", "kg", "km", "l", "h", "°", "°")
_MEASURED: tuple[tuple[float, Callable[[np.random.Generator], str]], ...] = (
    (0.42, _decimal),
    (0.16, _signed),
    (0.28, _grouped),
    (0.14, _with_unit),
)


def draw_measured(rng: np.random.Generator) -> str:
    """Draw a number whose marks carry its meaning; some have signs that are not in ``ALPHABET``."""
    return _MEASURED[pick(rng, [share for share, _ in _MEASURED])][1](rng)


def named(sign: str) -> str:
    """Return what the readers call a sign that is drawn: itself, or ``#`` where they have no name for it."""
    return sign if sign in ALPHABET else "#"


def draw_number(rng: np.random.Generator) -> str:
    """Draw the text of one field."""
    return _KINDS[pick(rng, [share for share, _ in _KINDS])][1](rng)
