"""JSON data that cannot change: equal to what it was made from, and refused wherever it would be changed."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spec_envs.immutable import FrozenDict, FrozenList, frozen

ATOMS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)
JSON = st.recursive(ATOMS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))

CHANGES: dict[str, Callable[[Any], Any]] = {
    "object, set": lambda data: data.__setitem__("name", 1),
    "object, delete": lambda data: data.__delitem__("name"),
    "object, clear": lambda data: data.clear(),
    "object, pop": lambda data: data.pop("name", None),
    "object, popitem": lambda data: data.popitem(),
    "object, setdefault": lambda data: data.setdefault("new", 1),
    "object, update": lambda data: data.update(name=1),
    "object, or": lambda data: data.__ior__({"name": 1}),
    "array, set": lambda data: data["items"].__setitem__(0, 1),
    "array, delete": lambda data: data["items"].__delitem__(0),
    "array, append": lambda data: data["items"].append(1),
    "array, extend": lambda data: data["items"].extend([1]),
    "array, add": lambda data: data["items"].__iadd__([1]),
    "array, multiply": lambda data: data["items"].__imul__(2),
    "array, insert": lambda data: data["items"].insert(0, 1),
    "array, pop": lambda data: data["items"].pop(),
    "array, remove": lambda data: data["items"].remove(1),
    "array, clear": lambda data: data["items"].clear(),
    "array, reverse": lambda data: data["items"].reverse(),
    "array, sort": lambda data: data["items"].sort(),
    "inner object, set": lambda data: data["items"][1].__setitem__("name", 1),
}


@given(JSON)
def test_is_equal_and_reads_the_same(value: Any) -> None:
    twin = frozen(value)
    assert twin == value
    assert json.dumps(twin) == json.dumps(value)
    assert frozen(twin) is copy.deepcopy(twin) is copy.copy(twin) is twin
    again = pickle.loads(pickle.dumps(twin))
    assert again == twin and type(again) is type(twin)


@pytest.mark.parametrize("name", CHANGES)
def test_refuses_every_change(name: str) -> None:
    value = {"name": "a", "items": [1, {"name": "b"}]}
    twin = frozen(value)
    with pytest.raises(TypeError, match="cannot be changed; make a new object"):
        CHANGES[name](twin)
    assert twin == value


def test_every_method_that_changes_is_refused() -> None:
    reading = {"copy", "count", "fromkeys", "get", "index", "items", "keys", "values"}
    for kind, base in ((FrozenDict, dict), (FrozenList, list)):
        public = {name for name in vars(base) if not name.startswith("_")}
        assert {name for name in public if getattr(kind, name) is getattr(base, name)} <= reading


def test_what_it_was_made_from_may_change() -> None:
    value = {"items": [1]}
    twin = frozen(value)
    value["items"].append(2)
    assert twin == {"items": [1]}


def test_new_data_shares_the_parts_that_stay() -> None:
    old = frozen({"status": "pending", "items": [{"price": 1}]})
    new = frozen({**old, "status": "cancelled"})
    assert new["items"] is old["items"]
    assert new == {"status": "cancelled", "items": [{"price": 1}]}


@pytest.mark.parametrize("value", [{1}, object(), b"a", {"a": [print]}], ids=["set", "object", "bytes", "function"])
def test_what_is_no_json_data_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="is not JSON data"):
        frozen(value)
