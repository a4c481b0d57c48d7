"""The prices of tokens: the user's own prices, or else the list prices in the package ``genai-prices``."""

import dataclasses
import math
import re
from collections.abc import Mapping
from types import MappingProxyType

from spec_envs import Usage
from spec_envs.agents.llm.addresses import OPENAI
from spec_envs.checks import not_negative
from spec_envs.errors import InvalidConfiguration

#: The end of the name of a dated version, which costs as much as the model itself.
_DATE = re.compile(r"[-@]\d{4}(?:-\d{2}-\d{2}|\d{4})$")


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
            if value is None and name == "cached_in":
                continue
            amount = not_negative(f"{name} of a price", value)
            object.__setattr__(self, name, value if type(value) is int else amount)

    def usage(self, tokens_in: float, tokens_out: float, cached: float = 0) -> Usage:
        """Return the usage with its cost; ``cached`` is the number of cached tokens among ``tokens_in``."""
        cached_in = self.tokens_in if self.cached_in is None else self.cached_in
        money = (tokens_in - cached) * self.tokens_in + cached * cached_in + tokens_out * self.tokens_out
        return Usage(tokens_in, tokens_out, money / 1e6)


@dataclasses.dataclass(frozen=True, slots=True)
class ListPrice:
    """The list price of a provider's model in US dollars, from ``genai-prices``, at the moment of the call.

    The price may depend on the length of the request and on the time of day. In a program that runs for long,
    ``genai_prices.UpdatePrices`` keeps the prices current.

    Args:
        model: The name of the model.
        base_url: The address of the provider.
    """

    model: str
    base_url: str = OPENAI

    def usage(self, tokens_in: float, tokens_out: float, cached: float = 0) -> Usage:
        """Return the usage with its cost; ``cached`` is the number of cached tokens among ``tokens_in``."""
        import genai_prices  # late: the import takes half a second

        tokens = genai_prices.Usage(
            input_tokens=math.ceil(tokens_in), output_tokens=math.ceil(tokens_out), cache_read_tokens=math.floor(cached)
        )
        found = genai_prices.calc_price(tokens, self.model, provider_api_url=self.base_url)
        return Usage(tokens_in, tokens_out, float(found.total_price))

    @property
    def is_known(self) -> bool:
        """Whether there are prices for tokens read and for tokens written."""
        import genai_prices

        try:
            found = genai_prices.calc_price(genai_prices.Usage(), self.model, provider_api_url=self.base_url)
        except LookupError:
            return False
        return found.model_price.input_mtok is not None and found.model_price.output_mtok is not None


def price_of(
    model: str, prices: Mapping[str, Price] = MappingProxyType({}), base_url: str | None = None
) -> Price | ListPrice | None:
    """Return the price of ``model``, or ``None`` if it is unknown.

    Args:
        model: The name of the model; a dated version costs as much as the model itself.
        prices: The user's own prices, which come first.
        base_url: The address of the server; default: OpenAI's. For a server that ``genai-prices`` does not know, such
            as your own, the price is unknown, whatever the name of the model.
    """
    own = prices.get(model) or prices.get(_DATE.sub("", model))
    if own is not None:
        return own
    listed = ListPrice(model, base_url or OPENAI)
    return listed if listed.is_known else None


def checked_prices(prices: object) -> Mapping[str, Price]:
    """Return ``prices``; ``InvalidConfiguration`` if it is no mapping from the names of models to prices."""
    like = "such as {'my-model': Price(tokens_in=1.0, tokens_out=2.0)}"
    if not isinstance(prices, Mapping):
        raise InvalidConfiguration(
            f"prices must be a mapping from names of models to Price, {like}, not {prices!r:.200}"
        )
    for name, price in prices.items():
        if not isinstance(name, str) or not isinstance(price, Price):
            raise InvalidConfiguration(f"prices must hold a Price for each name, {like}, not {name!r}: {price!r:.200}")
    return prices


def usage_of(price: Price | ListPrice | None, tokens_in: float, tokens_out: float, cached: float = 0) -> Usage:
    """Return the usage with its cost; without a ``price``, the cost is unknown."""
    if price is None:
        return Usage(tokens_in, tokens_out, unpriced=tokens_in + tokens_out)
    return price.usage(tokens_in, tokens_out, min(cached, tokens_in))  # some servers count more than they were sent
