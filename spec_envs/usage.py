"""What calls cost: the cost as a value, and how it arises in time."""

from __future__ import annotations

import dataclasses
import math

from spec_envs.checks import not_negative
from spec_envs.errors import InvalidConfiguration

_NUMBERS, _INF = frozenset({int, float}), math.inf


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """The cost of a call: tokens read, tokens written, and money (US dollars, or the currency of your own prices).

    ``unpriced`` are those of the tokens whose price is unknown: ``money`` lacks what they cost.

    Raises:
        InvalidConfiguration: One of these is no number, not finite, or below 0.
    """

    tokens_in: float = 0
    tokens_out: float = 0
    money: float = 0.0
    unpriced: float = 0

    def __post_init__(self) -> None:
        read, written, money, unpriced = self.tokens_in, self.tokens_out, self.money, self.unpriced
        if _NUMBERS.issuperset((type(read), type(written), type(money), type(unpriced))):
            if 0 <= read < _INF and 0 <= written < _INF and 0 <= money < _INF and 0 <= unpriced < _INF:
                return  # at once, since this is often asked
        for name in ("tokens_in", "tokens_out", "money", "unpriced"):
            value = getattr(self, name)
            number = not_negative(f"{name} of a Usage", value)
            object.__setattr__(self, name, value if type(value) is int else number)

    @property
    def tokens(self) -> float:
        """Tokens read and written."""
        return self.tokens_in + self.tokens_out

    @property
    def money_text(self) -> str:
        """The money as text for people, which also says if the price of tokens is unknown."""
        unknown = f"the unknown price of {self.unpriced:,.0f} tokens" if self.unpriced else ""
        known = f"{self.money:.4g}" if self.money or not unknown else ""
        return " and ".join(filter(None, (known, unknown)))

    def __add__(self, other: Usage) -> Usage:
        return _unchecked(
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            self.money + other.money,
            self.unpriced + other.unpriced,
        )

    def __mul__(self, share: float) -> Usage:
        return _unchecked(self.tokens_in * share, self.tokens_out * share, self.money * share, self.unpriced * share)

    def __bool__(self) -> bool:
        return bool(self.tokens_in or self.tokens_out or self.money)


_set = object.__setattr__


def _unchecked(read: float, written: float, money: float, unpriced: float) -> Usage:
    """A usage that is computed from others; the difference of two may be below 0."""
    usage = object.__new__(Usage)
    _set(usage, "tokens_in", read)
    _set(usage, "tokens_out", written)
    _set(usage, "money", money)
    _set(usage, "unpriced", unpriced)
    return usage


def check_usage(usage: object) -> None:
    """Raise ``InvalidConfiguration`` unless ``usage`` is a ``Usage``."""
    if not isinstance(usage, Usage):
        raise InvalidConfiguration(
            f"what a call costs is a Usage(tokens_in=…, tokens_out=…, money=…), not {usage!r:.80}"
        )


#: The usage of what costs nothing.
NOTHING = Usage()


@dataclasses.dataclass(slots=True)
class Spending:
    """A cost that arises evenly between ``start`` and ``start + seconds``, unless it ends at ``until``."""

    usage: Usage
    start: float
    seconds: float
    until: float = math.inf

    def share(self, now: float) -> float:
        """The share of the cost that has arisen by ``now``."""
        passed = min(now, self.until) - self.start
        if passed >= self.seconds:
            return 1.0
        return max(0.0, passed / self.seconds) if self.seconds else 0.0
