"""The faults that can be injected between a market and its files, and the text by which they are asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

from order_book_platform.clock import NS_PER_SECOND, duration_ns, duration_text
from order_book_platform.errors import SettingsError

GRAMMAR = """FAULTS = FAULT ["," FAULT …] | "none"
FAULT  = drop=COUNT[@MESSAGE]            that many consecutive messages never arrive
       | silence=COUNT[xTIME][@MESSAGE]  as many intervals without messages (3s each if not given)
       | crossed=COUNT[xTIME][@MESSAGE]  as many levels that cross the book and stay (3s each if not given)
       | ghost=COUNT                     removals near the best price that never arrive
       | bad_snapshots=COUNT             book rows crossed, unsorted, with a zero size or NaN
       | duplicates=COUNT                rows that come twice
       | unsorted=COUNT                  pairs of rows swapped between neighbouring messages
       | clock_skew=[-]TIME              the recorder's clock is that far ahead (or behind)
COUNT = 1, 2, …; MESSAGE = index from 0, where the fault starts (with COUNT 1, except for drop);
TIME = 100ms, 1.27s, 5m"""
"""The text that `Faults.parse` accepts."""

_FORMS = {
    "drop": "[@MESSAGE]",
    "silence": "[xTIME][@MESSAGE]",
    "crossed": "[xTIME][@MESSAGE]",
    "ghost": "",
    "bad_snapshots": "",
    "duplicates": "",
    "unsorted": "",
}
"""Kinds of faults that are counted, and what may follow the number of each."""
_NUMBERED = re.compile(r"(\d+)(?:x([^@x]+))?(?:@(\d+))?")


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults to inject, by their names in `GRAMMAR`; none by default.

    A field `…_at` is the index of the first message that the fault concerns; where it is None, the seed chooses one in
    the middle half of the day. A field `…_ns` is the least length of each fault; `clock_skew_ns` is added to every
    arrival.
    """

    drop: int = 0
    drop_at: int | None = None
    silence: int = 0
    silence_ns: int = 3 * NS_PER_SECOND
    silence_at: int | None = None
    crossed: int = 0
    crossed_ns: int = 3 * NS_PER_SECOND
    crossed_at: int | None = None
    ghost: int = 0
    bad_snapshots: int = 0
    duplicates: int = 0
    unsorted: int = 0
    clock_skew_ns: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = None if field.name == "clock_skew_ns" else 1 if field.name.endswith("_ns") else 0
            if value is not None and least is not None and value < least:
                raise _refused(f"{field.name}={value}", f"{field.name} of {least} or more")
        for name in ("silence", "crossed"):
            if getattr(self, f"{name}_at") is not None and getattr(self, name) != 1:
                raise _refused(
                    f"{name}={getattr(self, name)}@{getattr(self, f'{name}_at')}", "@MESSAGE with COUNT 1"
                )

    @classmethod
    def parse(cls, spec: str) -> Faults:
        """Read faults from a text such as `drop=16,ghost=5,silence=1x3s,clock_skew=-1.27s`.

        A text that does not follow `GRAMMAR` is a `SettingsError`, which names the part and shows the grammar.
        """
        values: dict[str, int] = {}
        if spec.strip() in ("", "none"):
            return cls()
        for part in spec.split(","):
            name, equals, text = (piece.strip() for piece in part.partition("="))
            if (name not in _FORMS and name != "clock_skew") or not equals:
                raise _refused(part, "a fault of the list below")
            if name in values or f"{name}_ns" in values:
                raise _refused(part, f"{name} once")
            values |= _skew(text, part) if name == "clock_skew" else _counted(name, text, part)
        return cls(**values)

    def __str__(self) -> str:
        """Give the text that `parse` reads; `none` where there are no faults."""
        parts = []
        for name, form in _FORMS.items():
            count, at = getattr(self, name), getattr(self, f"{name}_at", None)
            span = f"x{duration_text(getattr(self, f'{name}_ns'))}" if "TIME" in form else ""
            if count:
                parts.append(f"{name}={count}{span}" + ("" if at is None else f"@{at}"))
        if self.clock_skew_ns:
            sign = "-" if self.clock_skew_ns < 0 else ""
            parts.append(f"clock_skew={sign}{duration_text(abs(self.clock_skew_ns))}")
        return ",".join(parts) or "none"

    def __bool__(self) -> bool:
        return str(self) != "none"


def _refused(part: str, expected: str) -> SettingsError:
    return SettingsError(
        expected=expected, found=repr(part.strip()), where="faults", remedy=f"Write them as:\n{GRAMMAR}"
    )


def _time(text: str, part: str) -> int:
    try:
        return duration_ns(text.strip())
    except ValueError as error:
        raise _refused(part, "a time such as 100ms, 1.27s or 5m") from error


def _counted(name: str, text: str, part: str) -> dict[str, int]:
    form, match = _FORMS[name], _NUMBERED.fullmatch(text)
    if form and (match is None or (match[2] and "TIME" not in form)):
        raise _refused(part, f"{name}=COUNT{form}")
    if match is None or int(match[1]) < 1 or (not form and text != match[1]):
        raise _refused(part, f"{name}=COUNT with a whole number of 1 or more")
    values = {name: int(match[1])}
    if match[2]:
        values[f"{name}_ns"] = _time(match[2], part)
    if match[3]:
        values[f"{name}_at"] = int(match[3])
    return values


def _skew(text: str, part: str) -> dict[str, int]:
    sign = -1 if text.startswith("-") else 1
    skew = _time(text.removeprefix("-").removeprefix("+"), part)
    if not skew:
        raise _refused(part, "clock_skew with a time that is not 0")
    return {"clock_skew_ns": sign * skew}
