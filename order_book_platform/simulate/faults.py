"""The faults that can be injected between a market and its files, and the text by which they are asked for."""

from __future__ import annotations

import re
from collections.abc import Callable
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

_NUMBERED = re.compile(r"(\d+)(?:x([^@x]+))?(?:@(\d+))?")


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults to inject; none by default.

    Where no message is given, the seed chooses one in the middle half of the day.

    Attributes:
        drop: number of consecutive messages that are missing.
        drop_at: index of the first missing message; None where the seed chooses it.
        silence: number of intervals without messages.
        silence_ns: least length of each interval, ns.
        silence_at: index of the first missing message of the only interval; None where the seed chooses it.
        crossed: number of levels beyond the other side's best price.
        crossed_ns: least time for which each of them stays, ns.
        crossed_at: index of the message that brings the only one; None where the seed chooses it.
        ghost: number of removals of visible levels that are missing.
        bad_snapshots: number of `book` rows that are wrong.
        duplicates: number of rows that come twice.
        unsorted: number of pairs of rows swapped between neighbouring messages.
        clock_skew_ns: ns added to every time of arrival.
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

        Raises:
            SettingsError: the text does not follow `GRAMMAR`; the error names the part and shows the grammar.
        """
        values: dict[str, int] = {}
        if spec.strip() in ("", "none"):
            return cls()
        for part in spec.split(","):
            name, equals, text = (piece.strip() for piece in part.partition("="))
            if name not in _PARSERS or not equals:
                raise _refused(part, "a fault of the list below")
            if name in values or f"{name}_ns" in values:
                raise _refused(part, f"{name} once")
            values.update(_PARSERS[name](name, text, part))
        return cls(**values)

    def __str__(self) -> str:
        """Give the text that `parse` reads; `none` where there are no faults."""
        parts = []
        for name in ("drop", "silence", "crossed", "ghost", "bad_snapshots", "duplicates", "unsorted"):
            count = getattr(self, name)
            if not count:
                continue
            span = f"x{duration_text(getattr(self, f'{name}_ns'))}" if name in ("silence", "crossed") else ""
            at = getattr(self, f"{name}_at", None)
            parts.append(f"{name}={count}{span}" + ("" if at is None else f"@{at}"))
        if self.clock_skew_ns:
            sign = "-" if self.clock_skew_ns < 0 else ""
            parts.append(f"clock_skew={sign}{duration_text(abs(self.clock_skew_ns))}")
        return ",".join(parts) or "none"

    def __bool__(self) -> bool:
        """Tell whether there are any faults."""
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


def _count(name: str, text: str, part: str) -> dict[str, int]:
    if not re.fullmatch(r"\d+", text) or int(text) < 1:
        raise _refused(part, f"{name}=COUNT with a whole number of 1 or more")
    return {name: int(text)}


def _placed(name: str, text: str, part: str) -> dict[str, int]:
    match = _NUMBERED.fullmatch(text)
    if match is None or (match[2] and name == "drop"):
        raise _refused(part, f"{name}=COUNT{'' if name == 'drop' else '[xTIME]'}[@MESSAGE]")
    values = _count(name, match[1], part)
    if match[2]:
        values[f"{name}_ns"] = _time(match[2], part)
    if match[3]:
        values[f"{name}_at"] = int(match[3])
    return values


def _skew(name: str, text: str, part: str) -> dict[str, int]:
    sign = -1 if text.startswith("-") else 1
    skew = _time(text.removeprefix("-").removeprefix("+"), part)
    if not skew:
        raise _refused(part, "clock_skew with a time that is not 0")
    return {"clock_skew_ns": sign * skew}


_PARSERS: dict[str, Callable[[str, str, str], dict[str, int]]] = {
    "drop": _placed,
    "silence": _placed,
    "crossed": _placed,
    "ghost": _count,
    "bad_snapshots": _count,
    "duplicates": _count,
    "unsorted": _count,
    "clock_skew": _skew,
}
