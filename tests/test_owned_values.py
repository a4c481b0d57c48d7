"""``own_copy``: whoever receives a value may change it, and nobody else notices; what cannot change is shared."""

from __future__ import annotations

import collections
import contextlib
import copy
import dataclasses
import datetime
import decimal
import enum
import io
import random
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spec_envs import Call
from spec_envs.errors import InvalidAction, NotCopyable
from spec_envs.immutable import frozen
from spec_envs.values import key_of, own_copy
from spec_envs.wrappers import SpeculativeWrapper


class Point(NamedTuple):
    x: int
    tags: list[str]


class Fixed(NamedTuple):
    x: int
    y: str


@dataclasses.dataclass
class Order:
    items: list[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    title: str
    links: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Holder:
    content: Any


@dataclasses.dataclass(slots=True)
class Slotted:
    items: list[str]


class Plain:
    def __init__(self) -> None:
        self.items = ["a"]


class WithSlots:
    __slots__ = ("items", "unset")

    def __init__(self) -> None:
        self.items = ["a"]


class StateMadeAnew:
    def __init__(self, number: int) -> None:
        self.number = number

    def __getstate__(self) -> dict[str, Any]:
        return {"number": self.number, "more": [self.number]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.number, self.more = state["number"], state["more"]


class MyList(list[str]):
    pass


class Numbered(tuple[int, ...]):
    note: list[str]


class Colour(enum.Enum):
    RED = 1


class NeverChanges:
    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NeverChanges) and self.number == other.number

    def __hash__(self) -> int:
        return self.number

    def __deepcopy__(self, memo: Any) -> NeverChanges:
        return self


class Sentinel:
    pass


class FromFrozen(Holder):
    """Derived from a frozen dataclass, and none itself: its own attributes can be set."""


class Attributes(dict[str, Any]):
    """Its items are its attributes, too."""

    def __init__(self, **items: Any) -> None:
        super().__init__(**items)
        self.__dict__ = self


class Vector(np.ndarray[Any, Any]):
    note: list[int]


def _from_frozen() -> FromFrozen:
    value = FromFrozen("a")
    value.count = 0  # type: ignore[attr-defined]  # what is tested
    return value


def _vector() -> Vector:
    value = np.zeros(2).view(Vector)
    value.note = [1]
    return value


def _counting() -> Callable[[int], int]:
    count = 0

    def add(number: int) -> int:
        nonlocal count
        count += number
        return count

    return add


def _holds_itself() -> Holder:
    value = Holder([])
    value.content.append(value)
    return value


def _numbered() -> Numbered:
    value = Numbered((1, 2))
    value.note = ["a"]
    return value


def _objects(*parts: Any) -> np.ndarray[Any, Any]:
    array = np.empty(len(parts), object)
    array[:] = parts
    return array


SENTINEL = Sentinel()
SHARED: dict[str, Any] = {
    "text": "text",
    "a long number": 10**40,
    "a tuple of atoms": (1, "a", None, 2.5),
    "nested tuples": ((1, ("a",)), b"x"),
    "a named tuple": Fixed(1, "a"),
    "a frozen dataclass": Page("a", ("b",)),
    "frozen in frozen": Holder(Page("a")),
    "a frozen set": frozenset({1, "a", (2, 3)}),
    "an enum": Colour.RED,
    "a date": datetime.date(2026, 1, 1),
    "a decimal": decimal.Decimal("1.5"),
    "a numpy number": np.float32(1.5),
    "a read-only array of its own": np.array([1, 2]).view(),
    "a function": len,
    "a class": Page,
    "a sentinel without state": SENTINEL,
    "frozen JSON data": frozen({"a": [1, {"b": None}], "c": {}}),
    "a class that says so": NeverChanges(3),
    "all of these in a tuple": (Page("a"), Fixed(1, "b"), Colour.RED, NeverChanges(1)),
}
SHARED["a read-only array of its own"] = np.array([1, 2])
SHARED["a read-only array of its own"].flags.writeable = False

#: A value, and what a receiver does to it.
CHANGED: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "a list": (lambda: ["a"], lambda v: v.append("b")),
    "a dict": (lambda: {"a": 1}, lambda v: v.update(a=2)),
    "a dict in a dict": (lambda: {"a": {"b": 1}}, lambda v: v["a"].clear()),
    "a set": (lambda: {1, 2}, lambda v: v.add(3)),
    "a bytearray": (lambda: bytearray(b"ab"), lambda v: v.extend(b"c")),
    "a list in a tuple": (lambda: ({"items": ["a"]},), lambda v: v[0]["items"].append("b")),
    "a list in a named tuple": (lambda: Point(1, ["a"]), lambda v: v.tags.append("b")),
    "a dataclass": (lambda: Order(["a"]), lambda v: v.items.append("b")),
    "a list in a frozen dataclass": (lambda: Holder(["a"]), lambda v: v.content.append("b")),
    "a dataclass with slots": (lambda: Slotted(["a"]), lambda v: v.items.append("b")),
    "an array": (lambda: np.arange(4.0), lambda v: v.__setitem__(0, 9)),
    "an array of records": (lambda: np.zeros(2, [("x", "i4")]), lambda v: v["x"].__setitem__(0, 9)),
    "a record of an array": (lambda: np.zeros(2, [("x", "i4")])[0], lambda v: v.__setitem__("x", 9)),
    "an array of lists": (lambda: _objects(["a"], 1), lambda v: v[0].append("b")),
    "a view in an array": (lambda: _objects(np.zeros(3)[1:], 1), lambda v: v[0].__setitem__(0, 9)),
    "arrays in a dict": (lambda: {"o": np.zeros(2)}, lambda v: v["o"].__setitem__(0, 9)),
    "a masked array": (lambda: np.ma.array([1, 2], mask=[False, True]), lambda v: v.__setitem__(0, 9)),
    "a user class": (Plain, lambda v: v.items.append("b")),
    "a user class with slots": (WithSlots, lambda v: v.items.append("b")),
    "a list of its own class": (lambda: MyList(["a"]), lambda v: v.append("b")),
    "a tuple with attributes": (_numbered, lambda v: v.note.append("b")),
    "a deque": (lambda: collections.deque([[1]], maxlen=3), lambda v: v[0].append(2)),
    "a defaultdict": (lambda: collections.defaultdict(list, a=[1]), lambda v: v["a"].append(2)),
    "an ordered dict": (lambda: collections.OrderedDict(a=[1]), lambda v: v["a"].append(2)),
    "a counter": (lambda: collections.Counter("aab"), lambda v: v.update("b")),
    "a namespace": (lambda: types.SimpleNamespace(a=[1]), lambda v: v.a.append(2)),
    "a mapping proxy": (lambda: types.MappingProxyType({"a": [1]}), lambda v: v["a"].append(2)),
    "an exception": (lambda: ValueError(["a"]), lambda v: v.args[0].append("b")),
    "a random generator": (lambda: random.Random(1), lambda v: v.random()),
    "a class derived from a frozen dataclass": (_from_frozen, lambda v: setattr(v, "count", 1)),
    "a frozen dataclass that holds itself": (_holds_itself, lambda v: v.content.append(1)),
    "a dict whose items are its attributes": (lambda: Attributes(a=1), lambda v: setattr(v, "a", 2)),
    "an array with attributes": (_vector, lambda v: v.note.append(2)),
    "a function that counts": (_counting, lambda v: v(1)),
    "a function with a list": (lambda: (lambda kept: lambda: kept.append(1) or len(kept))(list[int]()), lambda v: v()),
    "a method of a list": (lambda: [1].append, lambda v: v(2)),
}


def _look(value: Any) -> Any:
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, types.FunctionType):
        return key_of([cell.cell_contents for cell in value.__closure__ or ()])
    if isinstance(value, (types.BuiltinFunctionType, FromFrozen)):
        return key_of(getattr(value, "__self__", getattr(value, "count", None)))
    if isinstance(value, Holder) and isinstance(value.content, list) and value.content[:1] == [value]:
        return len(value.content)
    if isinstance(value, Vector):
        return key_of(value.note)
    if isinstance(value, np.ma.MaskedArray):
        return value.tolist()
    if isinstance(value, (Plain, WithSlots)):
        return key_of(value.items)
    if isinstance(value, Numbered):
        return key_of((*value, *value.note))
    if isinstance(value, BaseException):
        return key_of(value.args)
    return key_of(value)


@pytest.mark.parametrize("name", SHARED)
def test_what_cannot_change_is_shared(name: str) -> None:
    assert own_copy(SHARED[name]) is SHARED[name]


@pytest.mark.parametrize("name", CHANGED)
def test_a_receiver_changes_its_own_copy(name: str) -> None:
    make, change = CHANGED[name]
    value = make()
    before = _look(value)
    twin = own_copy(value)
    assert type(twin) is type(value)
    assert _look(twin) == before
    change(twin)
    assert _look(value) == before
    assert _look(twin) != before


def test_parts_that_are_one_object_stay_one() -> None:
    part = ["a"]
    first, second = own_copy((part, {"again": part}))
    assert first is second["again"] is not part


def test_a_value_that_holds_itself() -> None:
    value: list[Any] = [1]
    value.append((value, {"me": value}))
    twin = own_copy(value)
    assert twin is not value
    assert twin[1][0] is twin[1][1]["me"] is twin


@pytest.mark.parametrize(
    "make",
    [
        StateMadeAnew,
        lambda number: types.MappingProxyType({"number": [number]}),
        lambda number: collections.OrderedDict(number=[number]),
        lambda number: collections.deque([[number]]),
        lambda number: ValueError([number]),
    ],
    ids=["getstate", "proxy", "ordered dict", "deque", "exception"],
)
def test_what_is_made_for_copying_alone_is_never_taken_for_a_part(make: Callable[[int], Any]) -> None:
    def number_in(value: Any) -> str:
        return repr(vars(value) if isinstance(value, StateMadeAnew) else value)

    numbers = range(20)
    twins = own_copy([own_copy(make(number)) for number in numbers])
    assert list(map(number_in, twins)) == [number_in(own_copy(make(number))) for number in numbers]


@pytest.mark.parametrize("part", [slice(2, 5), slice(None, None, -1), slice(1, None, 2)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, object], ids=["numbers", "objects"])
def test_views_of_one_array_stay_views(part: slice, dtype: Any) -> None:
    whole = np.arange(6).astype(dtype)
    twin, view = own_copy([whole, whole[part]])
    assert view.tolist() == whole[part].tolist()
    twin[:] = 7
    assert set(view.tolist()) == {7}
    assert whole.tolist() == [0, 1, 2, 3, 4, 5]


def test_a_read_only_view_is_copied_and_stays_read_only() -> None:
    whole = np.arange(4)
    view = whole[:2]
    view.flags.writeable = False
    twin = own_copy(view)
    whole[0] = 9
    assert twin.tolist() == [0, 1]
    assert not twin.flags.writeable


def test_fortran_order_is_kept() -> None:
    assert own_copy(np.asfortranarray(np.zeros((3, 4)))).flags.f_contiguous


@given(
    st.lists(st.one_of(st.integers(), st.text(max_size=2), st.tuples(st.integers(0, 9), st.integers(0, 9)))), st.data()
)
def test_a_copy_of_a_copied_set_has_its_order(items: list[Any], data: st.DataObject) -> None:
    value = set(items)
    for item in data.draw(st.lists(st.sampled_from(items)) if items else st.just([])):
        value.discard(item)
    once = own_copy(value)
    assert once == value
    assert list(own_copy(once)) == list(once)


def test_a_set_that_was_larger_is_walked_and_grows_in_the_same_order() -> None:
    value = set(range(500)) - set(range(3, 495)) | {513, 1024}
    twin = own_copy({"free": value})["free"]
    assert list(twin) == list(value) and twin is not value
    for each in (value, twin):
        each.update((64, 8192))
    assert list(twin) == list(value)


class _RaisesWhenReduced:
    def __init__(self) -> None:
        self.items = ["a"]

    def __reduce__(self) -> Any:
        raise RuntimeError("no")


class _CopiesToItself:
    def __init__(self) -> None:
        self.open = True

    def __deepcopy__(self, memo: Any) -> Any:
        return self


class _MadeAnew(gym.utils.EzPickle):
    def __init__(self, size: int = 1) -> None:
        super().__init__(size)
        self.count = 0


class _CopiesToAnother:
    def __init__(self) -> None:
        self.items: list[int] = []

    def __deepcopy__(self, memo: Any) -> Any:
        return []


class _HoldsLock:
    def __init__(self) -> None:
        self.lock = threading.Lock()


UNCOPYABLE: dict[str, Callable[[], Any]] = {
    "lock": threading.Lock,
    "generator": lambda: (i for i in range(3)),
    "TextIOWrapper": lambda: io.TextIOWrapper(io.BytesIO()),
    "memoryview": lambda: memoryview(bytearray(3)),
    "WeakKeyDictionary": weakref.WeakKeyDictionary,
    "WeakValueDictionary": weakref.WeakValueDictionary,
    "WeakSet": weakref.WeakSet,
    "dict_keys": lambda: {"a": 1}.keys(),
    "_thread.lock": _HoldsLock,
    "_RaisesWhenReduced": _RaisesWhenReduced,
    "_CopiesToItself": _CopiesToItself,
    "_MadeAnew": _MadeAnew,
    "_CopiesToAnother": _CopiesToAnother,
    "frame": lambda: __import__("sys")._getframe(),
}


@pytest.mark.parametrize("name", UNCOPYABLE)
@pytest.mark.parametrize(
    "where", [lambda v: v, lambda v: {"a": [v]}, lambda v: Holder((v,))], ids=["bare", "dict", "frozen"]
)
def test_what_can_change_and_cannot_be_copied_is_refused_by_name(name: str, where: Callable[[Any], Any]) -> None:
    with pytest.raises(NotCopyable, match=name):
        own_copy(where(UNCOPYABLE[name]()))


def test_the_message_names_the_innermost_class() -> None:
    with pytest.raises(NotCopyable, match=r"_thread\.lock, which can change and cannot be copied"):
        own_copy({"client": _HoldsLock()})


def test_a_call_is_owned() -> None:
    text, listed = Call("h", "q"), Call("h", ["q"])
    assert text.owned() is text
    twin = listed.owned()
    assert twin == listed
    twin.query.append("r")
    assert listed.query == ["q"]
    assert copy.deepcopy(listed) == listed


def nested(depth: int, kind: type) -> Any:
    value: Any = kind()
    for _ in range(depth):
        value = {"a": value} if kind is dict else kind([value])
    return value


ENVIRONMENTS = {
    "chess": lambda: gym.make("SpecChess-v0", opponent="builtin"),
    "search": lambda: gym.make("SpecSearch-v0"),
    "retail": lambda: gym.make("SpecRetail-v0"),
    "tuning": lambda: gym.make("SpecTuning-v0"),
}


@pytest.mark.parametrize("kind", [list, tuple, dict])
@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize("wrap", [lambda env: env, SpeculativeWrapper], ids=["plain", "wrapped"])
def test_an_action_that_is_nested_too_deeply_is_refused_by_name(name, wrap, kind):
    with wrap(ENVIRONMENTS[name]()) as env:
        env.reset(seed=0)
        for depth in (300, 900, 5000, 100_000):
            with contextlib.suppress(InvalidAction, NotCopyable):  # never a RecursionError
                env.step(nested(depth, kind))


@pytest.mark.parametrize("kind", [list, tuple, dict])
@pytest.mark.parametrize("depth", [5000, 100_000])
def test_a_value_that_is_nested_too_deeply_is_told(kind, depth):
    with pytest.raises(NotCopyable, match="nested too deeply to be copied"):
        own_copy([nested(depth, kind), []])
    with pytest.raises(NotCopyable, match="nested too deeply to be compared"):
        key_of(nested(depth, kind))
