"""Two digests of JSON data: our own, which is cheap to update after a change, and tau-bench's, equal to the bit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

#: Digests are added modulo this number, so an update subtracts the old record's digest and adds the new one's.
MODULUS = 1 << 128


def record_digest(table: str, key: str, record: Any) -> int:
    """Return our digest of a record under its table and key. The order of fields counts, and 1, 1.0 and true differ."""
    # The lengths keep ("ab", "c") and ("a", "bc") apart.
    text = f"{len(table)}:{table}{len(key)}:{key}{json.dumps(record)}"
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest(), "little")


def order_digest(table: str, keys: tuple[str, ...]) -> int:
    """Return our digest of the order of a table's records; a search by name depends on this order."""
    return record_digest("order", table, keys)


def tau_notation(value: Any) -> str:
    """Return the text that tau-bench hashes: tuples, where a mapping becomes its pairs, sorted by key."""
    return repr(_as_tuples(value))


def tau_pair(key: str, text: str) -> str:
    """Return one pair of a mapping in tau-bench's notation; ``text`` is its value in this notation."""
    return f"({key!r}, {text})"


def tau_mapping(pairs: Collection[str]) -> str:
    """Return ``tau_notation`` of a mapping from the texts of its pairs, in the order of their keys."""
    return f"({', '.join(pairs)}{',' if len(pairs) == 1 else ''})"


def _as_tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple((key, _as_tuples(value[key])) for key in sorted(value))
    if isinstance(value, list):
        return tuple(map(_as_tuples, value))
    return value
