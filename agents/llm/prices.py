"""What tokens cost, by model. A table to extend: ``PRICES | {"my-model": Price(0.2, 0.8)}``."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from types import MappingProxyType

from spec_envs.errors import InvalidConfiguration
from spec_envs.handling import Usage

__all__ = ["PRICES", "Price", "price_of"]

#: A dated version of a model costs what the model does.
_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")


@dataclasses.dataclass(frozen=True, slots=True)
class Price:
    """The price of a million tokens, in the currency of your choice.

    Args:
        tokens_in: Of tokens read.
        tokens_out: Of tokens written, hidden reasoning included.
        cached_in: Of tokens read that the server still had from an earlier call. Default: as ``tokens_in``.
    """

    tokens_in: float
    tokens_out: float
    cached_in: float | None = None

    def __post_init__(self) -> None:
        for name in ("tokens_in", "tokens_out", "cached_in"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise InvalidConfiguration(f"{name} of a price must be finite and at least 0, not {value!r}")

    def usage(self, tokens_in: float, tokens_out: float, cached: float = 0) -> Usage:
        """So many tokens with what they cost; ``cached`` of those read cost less."""
        cached_in = self.tokens_in if self.cached_in is None else self.cached_in
        money = (tokens_in - cached) * self.tokens_in + cached * cached_in + tokens_out * self.tokens_out
        return Usage(tokens_in, tokens_out, money / 1e6)


#: List prices of OpenAI's models in US dollars, as of June 2026. They change: give your own where it matters.
PRICES: MappingProxyType[str, Price] = MappingProxyType(
    {
        "gpt-5": Price(1.25, 10.0, 0.125),
        "gpt-5-mini": Price(0.25, 2.0, 0.025),
        "gpt-5.4": Price(2.5, 15.0, 0.25),
        "gpt-5.4-mini": Price(0.75, 4.5, 0.075),
        "gpt-5.4-nano": Price(0.2, 1.25, 0.02),
        "gpt-5.5": Price(5.0, 30.0, 0.5),
    }
)


def price_of(model: str, prices: Mapping[str, Price]) -> Price:
    """The price of ``model`` or, for a dated version, of the model that it is one of; 0 where there is none."""
    return prices.get(model) or prices.get(_DATE.sub("", model)) or Price(0.0, 0.0)
