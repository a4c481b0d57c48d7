"""The texts that the benchmarks hash: all data of the shop as one text, in which fields and records are sorted.

A record's text does not depend on the other records, so the text of all data is put together from known parts.
"""

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, NamedTuple

#: The benchmark whose form of records, tools and score the data have. τ³-bench is the release 1.0 of tau2-bench.
Dialect = Literal["tau-bench", "tau3"]


class Notation(NamedTuple):
    """How a benchmark writes the data that it hashes."""

    value: Callable[[Any], str]  # a record, or any other JSON value
    pair: Callable[[str, str], str]  # a key and the text of its value
    mapping: Callable[[Collection[str]], str]  # a mapping from the texts of its pairs, in the order of their keys


def tau_notation(value: Any) -> str:
    """Return the text that tau-bench hashes: tuples, where a mapping becomes its pairs, sorted by key."""
    return repr(_as_tuples(value))


def _as_tuples(value: Any) -> Any:
    if isinstance(value, (dict, Mapping)):  # dict first, which is found faster
        return tuple((key, _as_tuples(value[key])) for key in sorted(value))
    if isinstance(value, list):
        return tuple(map(_as_tuples, value))
    return value


def _tau_mapping(pairs: Collection[str]) -> str:
    return f"({', '.join(pairs)}{',' if len(pairs) == 1 else ''})"


def _sorted_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


NOTATIONS: Mapping[Dialect, Notation] = {
    "tau-bench": Notation(tau_notation, lambda key, text: f"({key!r}, {text})", _tau_mapping),
    "tau3": Notation(
        _sorted_json, lambda key, text: f"{json.dumps(key)}: {text}", lambda pairs: f"{{{', '.join(pairs)}}}"
    ),
}
