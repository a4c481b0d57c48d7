"""The prices of tokens by model. To extend the table: ``PRICES | {"my-model": Price(0.2, 0.8)}``."""

import dataclasses
import re
from collections.abc import Mapping
from types import MappingProxyType

from spec_envs import InvalidConfiguration, Usage

#: The end of the name of a dated version, which costs as much as the model itself.
_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")


@dataclasses.dataclass(frozen=True, slots=True)
class Price:
    """The price of a million tokens, in any currency.

    Args:
        tokens_in: The price of tokens read.
        tokens_out: The price of tokens written, including hidden reasoning.
        cached_in: The price of tokens read that the server had cached. Default: ``tokens_in``.
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
        """Return the usage with its cost; ``cached`` is the number of cached tokens among ``tokens_in``."""
        cached_in = self.tokens_in if self.cached_in is None else self.cached_in
        money = (tokens_in - cached) * self.tokens_in + cached * cached_in + tokens_out * self.tokens_out
        return Usage(tokens_in, tokens_out, money / 1e6)


#: List prices of OpenAI's models in US dollars, as of June 2026. Prices change: pass current ones where money matters.
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


def price_of(model: str, prices: Mapping[str, Price] = PRICES) -> Price | None:
    """Return the price of ``model``; for a dated version, the price of the model itself; ``None`` if it is unknown."""
    return prices.get(model) or prices.get(_DATE.sub("", model))
