"""What can be seen of values although the ``==`` of their class passes over it: digits, signs, zones, steps, bounds."""

import array
import collections
import datetime
import decimal
from collections.abc import Callable, Hashable
from typing import Any


def _clock_of(value: Any) -> Hashable:
    return value.isoformat(), value.fold, value.tzname()


_SEEN: dict[type, Callable[[Any], Hashable]] = {
    decimal.Decimal: str,
    complex: repr,
    range: repr,
    datetime.datetime: _clock_of,
    datetime.time: _clock_of,
    datetime.timezone: repr,
}
_BESIDE: dict[type, Callable[[Any], Any]] = {
    collections.defaultdict: lambda value: value.default_factory,
    collections.deque: lambda value: value.maxlen,
    collections.ChainMap: lambda value: value.maps,
    array.array: lambda value: value.typecode,
}


def seen_of(value: Any) -> tuple[Hashable, ...]:
    """What tells ``value`` apart from equal objects; all of the value if its class is Python's own; empty for most."""
    return tuple(_SEEN[base](value) for base in type(value).__mro__ if base in _SEEN)


def is_seen_whole(kind: type) -> bool:
    """Whether ``seen_of`` has all that there is to an object of this class."""
    return kind in _SEEN


def beside_items(value: Any) -> tuple[Any, ...]:
    """What a container is beside its items, such as the bound of a queue; empty for most."""
    look = _BESIDE.get(type(value))
    return () if look is None else (look(value),)
