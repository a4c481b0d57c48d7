"""What calls cost: the cost as a value, and how it arises in time."""

from __future__ import annotations

import dataclasses
import math

from spec_envs.checks import not_negative
from spec_envs.errors import InvalidConfiguration


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
        for name in _FIELDS:
            value = getattr(self, name)
            if (type(value) is not float and type(value) is not int) or not 0 <= value < math.inf:
                object.__setattr__(self, name, not_negative(f"{name} of a Usage", value))

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


_FIELDS = ("tokens_in", "tokens_out", "money", "unpriced")


def _unchecked(*values: float) -> Usage:
    """A usage that is computed from others; the difference of two may be below 0."""
    usage = object.__new__(Usage)
    for name, value in zip(_FIELDS, values, strict=True):
        object.__setattr__(usage, name, value)
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
