"""State of many kinds inside an environment that is not ours: its fork goes on as it does, or it is refused by name."""

from __future__ import annotations

import array
import collections
import copy
import ctypes
import dataclasses
import functools
import io
import itertools
import mmap
import operator
import queue
import random
import sqlite3
import sys
import threading
import timeit
import types
import warnings
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs import fork
from spec_envs.errors import NotForkable
from spec_envs.forking import difference
from spec_envs.sets import alike, fill_alike, table_of
from tests.foreign_envs import Foreign, foreign, held

if sys.implementation.name != "cpython":
    pytest.skip("how sets are stored is looked at on CPython", allow_module_level=True)


def goes_on_alike(make: Callable[[Any], Any], use: Callable[[Any, int], Any]) -> None:
    """Check that a fork, a fork of a fork, and the original show the same for the same actions."""

    class Kind(Foreign):
        def step(self, action):
            return np.zeros(3), 0.0, False, False, {"shown": repr(use(self, int(action)))}

    env = foreign(Kind)
    env.part = make(env)
    actions = np.random.default_rng(0).integers(3, size=40).tolist()
    for action in actions[:5]:
        env.step(action)
    twin = fork(env)
    assert difference(env, twin) is None
    middle = fork(fork(twin))
    for number, action in enumerate(actions):
        if number == 20:
            middle = fork(middle)
        shown = [each.step(action)[-1]["shown"] for each in (twin, env, middle)]
        assert len(set(shown)) == 1, f"step {number}: {shown}"


# --- what is copied faithfully ------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Cell:
    x: int
    y: int


class Tiles(set):
    """A set of a class of its own."""


class Pair(NamedTuple):
    name: str
    items: list[int]


class Attributes(dict):
    def __init__(self, **items):
        super().__init__(**items)
        self.__dict__ = self


class Vector(ctypes.Structure):
    _fields_ = (("x", ctypes.c_int32), ("y", ctypes.c_int32))


def _churn(env, n):
    """Adds, removes and pops, as a game does with its free cells."""
    members = env.part
    items = list(members)
    members.discard(items[(7 * n) % len(items)] if items else None)
    if len(members) > 5 and n == 2:
        members.pop()
    members.add(items[0] if items and isinstance(items[0], Cell) else (n, len(items)))
    return list(members), len(members)


def _buffer(owner: Any, dtype: str):
    return lambda env: (owner, np.frombuffer(owner, dtype))


def _write(env, n):
    whole, view = env.part
    view[n % len(view)] += 1
    return bytes(memoryview(whole).cast("B")) if not isinstance(whole, np.ndarray) else whole.tolist(), view.tolist()


def _write_record(env, n):
    whole, record, column = env.part
    record["x"] += n + 1
    column[0] += n
    return whole.tolist(), record.item()


def _write_into_record(env, n):
    env.part["x"] += n + 1
    return env.part.item()


def _object_views(env):
    whole = np.empty(4, object)
    whole[:] = [[1], [2], [3], [4]]
    return whole, whole[::-1]


FAITHFUL: dict[str, tuple[Callable[[Any], Any], Callable[[Any, int], Any]]] = {
    # sets, in their order
    "set of cells of a board": (lambda env: {(x, y) for x in range(8) for y in range(8)}, _churn),
    "set less another": (lambda env: {(x, y) for x in range(8) for y in range(8)} - {(3, 3)}, _churn),
    "set of texts": (lambda env: {f"tile {i}" for i in range(30)}, _churn),
    "set of frozen dataclasses": (lambda env: {Cell(i, -i) for i in range(30)}, _churn),
    "set of frozensets": (lambda env: {frozenset({i, i + 1}) for i in range(20)}, _churn),
    "set of a subclass": (lambda env: Tiles((i, i) for i in range(30)), _churn),
    "set that was larger": (lambda env: set(range(500)) - set(range(3, 500)), _churn),
    "set of numbers and None": (lambda env: {1.5, None, 2, "x", (1, 2), 10**30}, _churn),
    "empty set": (lambda env: set(), _churn),
    "sets in a dict": (
        lambda env: {"a": {3, 1, 99}, ("b", 2): [{"y", "x"}]},
        lambda env, n: (env.part["a"].add(n * 64), list(env.part["a"]), list(env.part["b", 2][0])),
    ),
    "popped set": (lambda env: {i * 5 for i in range(60)}, lambda env, n: (env.part.pop(), env.part.add(n * 64))),
    # caches, functions and methods, bound to the copy
    "cache around a method": (
        lambda env: functools.cache(lambda k: (k, env.position[0] + k)),
        lambda env, n: (env.part(n), env.position.__iadd__(1)),
    ),
    "cache that is cleared": (
        lambda env: functools.lru_cache(lambda: env.position[0] * 3),
        lambda env, n: (env.part(), env.position.__iadd__(n), env.part.cache_clear()),
    ),
    "cache of lists": (
        lambda env: functools.cache(lambda k: [k]),
        lambda env, n: env.part(n).append(n) or env.part(n),
    ),
    "cached property": (
        lambda env: type("Has", (), {"p": functools.cached_property(lambda self: [])})(),
        lambda env, n: env.part.p.append(n) or env.part.p,
    ),
    "default that is a list": (
        lambda env: (lambda kept: lambda n, seen=kept: seen.append(n) or list(seen))([]),
        lambda env, n: env.part(n),
    ),
    "keyword default that is a dict": (
        lambda env: (lambda kept: lambda n, *, seen=kept: seen.update({n: len(seen)}) or dict(seen))({}),
        lambda env, n: env.part(n),
    ),
    "attribute of a function": (
        lambda env: _with_calls(lambda: env),
        lambda env, n: env.part.calls.append(n) or (list(env.part.calls), env.part() is env),
    ),
    "frompyfunc over the environment": (
        lambda env: np.frompyfunc(lambda y: env.position[0] + y, 1, 1),
        lambda env, n: (env.part(2), env.position.__iadd__(n)),
    ),
    "vectorize over the environment": (
        lambda env: np.vectorize(lambda y: env.position[0] + y, otypes=[float]),
        lambda env, n: (env.part([1, 2]), env.position.__iadd__(n)),
    ),
    "partial of a bound method": (
        lambda env: functools.partial(type(env.position).__iadd__, env.position, 1),
        lambda env, n: (env.part(), env.position),
    ),
    "bound method": (lambda env: env.position.sum, lambda env, n: (env.position.__iadd__(n), env.part())),
    "methodcaller with a list": (
        lambda env: (operator.methodcaller("copy"), [1]),
        lambda env, n: (env.part[1].append(n), env.part[0](env.part[1])),
    ),
    "two functions over one variable": (
        lambda env: _reads_and_writes(),
        lambda env, n: (env.part[1](n + 1), env.part[0]()),
    ),
    # memory that is seen twice
    "bytearray": (_buffer(bytearray(8), "u1"), _write),
    "bytearray as int32": (_buffer(bytearray(16), "<i4"), _write),
    "array.array": (_buffer(array.array("d", [0.0, 1.0]), "f8"), _write),
    "ctypes array": (_buffer((ctypes.c_uint8 * 8)(), "u1"), _write),
    "ctypes structures": (_buffer((Vector * 2)(), "<i4"), _write),
    "ctypes array by as_array": (lambda env: _as_array((ctypes.c_int16 * 4)()), _write),
    "array and its view": (lambda env: (lambda a: (a, a[1:]))(np.zeros(5)), _write),
    "array and it backwards": (lambda env: (lambda a: (a, a[::-2]))(np.zeros(5)), _write),
    "array and its diagonal": (lambda env: (lambda a: (a, np.einsum("ii->i", a)))(np.zeros((3, 3))), _write),
    "array and its window": (
        lambda env: (lambda a: (a, np.lib.stride_tricks.sliding_window_view(a, 2)))(np.zeros(5)),
        lambda env, n: (env.part[0].__setitem__(n, n + 1.5), env.part[1].tolist()),
    ),
    "objects and them backwards": (
        _object_views,
        lambda env, n: (env.part[1][n].append(n), env.part[0].__setitem__(0, [n]), env.part[1].tolist()),
    ),
    # iterators
    "count": (lambda env: itertools.count(), lambda env, n: next(env.part)),
    "count by twos": (lambda env: itertools.count(5, 2), lambda env, n: next(env.part)),
    "iterator over a list": (
        lambda env: (lambda a: (a, iter(a)))([1, 2, 3]),
        lambda env, n: (env.part[0].append(n), next(env.part[1])),
    ),
    "reversed list": (lambda env: reversed(list(range(99))), lambda env, n: next(env.part)),
    "iterator over a range": (lambda env: iter(range(99)), lambda env, n: next(env.part)),
    "iterator over text": (lambda env: iter("abc" * 30), lambda env, n: next(env.part)),
    "enumerate": (lambda env: enumerate(["a"] * 99), lambda env, n: next(env.part)),
    "zip": (lambda env: zip(range(99), [[i] for i in range(99)], strict=True), lambda env, n: next(env.part)),
    "map over the environment": (
        lambda env: map(lambda i: env.position[0] + i, range(99)),  # noqa: C417  # a generator cannot be copied
        lambda env, n: (next(env.part), env.position.__iadd__(n)),
    ),
    "filter": (lambda env: filter(None, [0, 1, 2] * 50), lambda env, n: next(env.part)),
    # other containers
    "dict whose items are its attributes": (
        lambda env: Attributes(n=0),
        lambda env, n: (setattr(env.part, "n", env.part["n"] + 1), env.part["n"]),
    ),
    "error that somebody has looked at": (
        lambda env: (lambda error: (error, error.__dict__))(ValueError([0])),
        lambda env, n: env.part[0].args[0].append(n) or env.part[0].args,
    ),
    "named tuple with a list": (
        lambda env: Pair("a", []),
        lambda env, n: env.part.items.append(n) or list(env.part.items),
    ),
    "deque": (lambda env: collections.deque([[1]], 4), lambda env, n: env.part.append([n]) or list(env.part)),
    "defaultdict of sets": (
        lambda env: collections.defaultdict(set, a={1}),
        lambda env, n: env.part[n].add(n * 7) or [(key, list(value)) for key, value in env.part.items()],
    ),
    "large table": (
        lambda env: {s: {a: [(1.0, s + a, 0.5)] for a in range(3)} for s in range(50)},
        lambda env, n: env.part[n][n].append((0.0, n, 1.0)) or env.part[n],
    ),
    "large table with a list in it twice": (
        lambda env: (lambda row: [row, row] + [[i] for i in range(20)])([1]),
        lambda env, n: env.part[0].append(n) or env.part[:4],
    ),
    "record of an array": (
        lambda env: (lambda whole: (whole, whole[1], whole["x"]))(np.zeros(3, [("x", "f8"), ("y", "i4")])),
        _write_record,
    ),
    "record of its own": (lambda env: np.zeros(1, [("x", "f8")])[0].copy(), _write_into_record),
    "text buffer": (lambda env: io.StringIO("abc"), lambda env, n: env.part.write(str(n)) and env.part.getvalue()),
}
if sys.version_info < (3, 14):  # which cannot copy iterators of itertools any more, but for count
    FAITHFUL |= {
        "cycle": (lambda env: itertools.cycle([1, 2, 3]), lambda env, n: next(env.part)),
        "chain": (lambda env: itertools.chain([1] * 50, [2] * 50), lambda env, n: next(env.part)),
        "product": (lambda env: itertools.product(range(9), repeat=2), lambda env, n: next(env.part)),
        "permutations": (lambda env: itertools.permutations(range(5)), lambda env, n: next(env.part)),
        "accumulate": (lambda env: itertools.accumulate(range(99)), lambda env, n: next(env.part)),
        "tee": (lambda env: itertools.tee(range(99)), lambda env, n: (next(env.part[n % 2]), next(env.part[0]))),
    }


def _reads_and_writes() -> Any:
    number = 0

    def write(more):
        nonlocal number
        number += more

    return lambda: number, write


def _as_array(owner: Any) -> Any:
    return owner, np.ctypeslib.as_array(owner)


def _with_calls(function: Any) -> Any:
    function.calls = []
    return function


@pytest.mark.filterwarnings("ignore:Pickle, copy, and deepcopy support will be removed from itertools")  # from 3.12 on
@pytest.mark.parametrize("kind", FAITHFUL)
def test_a_fork_goes_on_as_its_original_does(kind):
    goes_on_alike(*FAITHFUL[kind])


# --- what is refused ----------------------------------------------------------------------------------------------


class Single:
    """Every instance is the same."""

    instance: Any = None

    def __new__(cls):
        if cls.instance is None:
            cls.instance = super().__new__(cls)
        return cls.instance


class Client:
    """Copies share one connection."""

    connected = True

    def __deepcopy__(self, memo):
        return self


class Reconnecting:
    """What is pickled of it is how to find the one that there is."""

    def __reduce__(self):
        return _the_client, ()


THE_CLIENT = Reconnecting()


def _the_client() -> Reconnecting:
    return THE_CLIENT


class Remembering:
    """Its class keeps results for each instance."""

    def __init__(self):
        self.x = 1

    @functools.lru_cache  # noqa: B019  # what is tested
    def value(self):
        return self.x


def keeps(n, seen=[]):  # noqa: B006  # what is tested
    seen.append(n)
    return len(seen)


def _called(function, *arguments):
    function(*arguments)
    return function


def _of_remembering():
    part = Remembering()
    part.value()
    return part


def _from_buffer():
    return (ctypes.c_uint8 * 8).from_buffer(bytearray(8))


def _readonly_view():
    whole = np.zeros(4)
    view = whole[1:]
    whole.flags.writeable = False
    return whole, view


SCORES: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


def _finalized():
    part = Remembering()
    told: list[int] = []
    weakref.finalize(part, told.append, 1).atexit = False
    return part, told


def _key_of_a_weak_dictionary():
    part = Remembering()
    SCORES[part] = 1
    return part


def _calling_weak_reference():
    part = Remembering()
    return part, weakref.ref(part, lambda dead: None)


SHARED = "that the original and the copy share"
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "set of objects": (
        lambda: {Remembering() for _ in range(5)},
        "hash by identity: its copy iterates in another",
    ),
    "iterator over a set": (lambda: iter({1, 2}), "is a set_iterator, and its copy a list_iterator"),
    "iterator over a dict": (lambda: iter({1: 2}), "is a dict_keyiterator, and its copy a list_iterator"),
    "weak proxy": (lambda: (lambda part: (part, weakref.proxy(part)))(Remembering()), "is a weak proxy"),
    "generator": (lambda: (i for i in "ab"), "is a builtins.generator, which cannot be copied"),
    "generator in a list": (lambda: [(i for i in "ab")], r"\[0\] is a builtins.generator, which cannot be copied"),
    "generator in a map": (lambda: map(str, (i for i in "ab")), "is a builtins.generator, which cannot be copied"),
    "view of a dict": (lambda: {1: 2}.items(), "is a builtins.dict_items, which cannot be copied"),
    "count of fractions": (lambda: itertools.count(0.5), r"is count\(0.5\), and only counts of integers can be copied"),
    "lru_cache with results": (lambda: _called(functools.lru_cache(lambda k: [k]), 1), "lru_cache with 1 results"),
    "method with results": (_of_remembering, "has results in the functools cache around Remembering.value"),
    "global function with state": (lambda: keeps, "is the global function keeps, which keeps state"),
    "singledispatch": (lambda: functools.singledispatch(lambda x: 1), "cannot be copied"),
    "memoryview": (lambda: memoryview(bytearray(3)), "is a builtins.memoryview, which cannot be copied"),
    "array over mmap": (lambda: np.frombuffer(mmap.mmap(-1, 64), "u1"), "over memory of a mmap.mmap"),
    "ctypes over a bytearray": (_from_buffer, "of ctypes over memory of another object"),
    "item of a ctypes array": (lambda: (Vector * 2)()[1], "is a Vector of ctypes over memory of another object"),
    "ctypes pointer": (lambda: ctypes.pointer(ctypes.c_int(1)), "which cannot be copied .*pointers"),
    "array of records with objects": (
        lambda: np.zeros(2, [("a", object)]),
        "objects cannot be copied one by one",
    ),
    "writeable view of a constant": (_readonly_view, "can be written to over one that cannot"),
    "singleton": (Single, f"is a Single {SHARED}"),
    "client": (Client, f"is a Client {SHARED}"),
    "client found by a function": (lambda: THE_CLIENT, f"is a Reconnecting {SHARED}"),
    "lock": (threading.Lock, "is a _thread.lock, which cannot be copied"),
    "event": (threading.Event, r"_lock is a _thread.lock, which cannot be copied"),
    "local of a thread": (threading.local, "is a _thread._local, which cannot be copied"),
    "queue": (queue.Queue, "which cannot be copied"),
    "simple queue": (queue.SimpleQueue, "which cannot be copied"),
    "database": (lambda: sqlite3.connect(":memory:"), "is a sqlite3.Connection, which cannot be copied"),
    "random of the system": (random.SystemRandom, "is a random.SystemRandom, which cannot be copied"),
    "dropped object that tells of it": (_finalized, "weak reference with a callback exists"),
    "key of a weak dictionary": (_key_of_a_weak_dictionary, "weak reference with a callback exists"),
    "weak reference with a callback": (_calling_weak_reference, "weak reference with a callback exists"),
    "record with objects": (lambda: np.zeros(2, [("a", object)])[1], "objects cannot be copied one by one"),
    "weak reference": (lambda: weakref.ref(Remembering), "a weak reference to a type that is not copied"),
    "proxy of a dict": (lambda: types.MappingProxyType({1: [2]}), "is a builtins.mappingproxy, which cannot be copied"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_copied_is_refused_by_name(kind):
    make, message = REFUSED[kind]
    part = make()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        with pytest.raises(NotForkable, match=message):
            fork(foreign(part=part))
        with pytest.raises(NotForkable, match=message):
            held(lambda self: part)
        if hasattr(part, "close"):
            part.close()


def test_any_error_on_the_way_is_a_refusal():
    class Bites:
        def __deepcopy__(self, memo):
            raise KeyError("no such thing")

    chain: Any = None
    for _ in range(100_000):
        chain = [chain]
    for part in (Bites(), chain):
        with pytest.raises(NotForkable, match="cannot be forked: .*(KeyError|no such thing|RecursionError)"):
            fork(foreign(part=part))
    while chain:  # taken apart, since that recurses, too
        chain = chain.pop()


def test_what_is_shared_is_neither_changed_nor_closed():
    for make in (Single, Client):
        part = make()
        part.__dict__.clear()
        with pytest.raises(NotForkable):
            fork(foreign(part=part))
        assert not part.__dict__


# --- the order of sets ---------------------------------------------------------------------------------------------

_MEMBERS = {
    "small integers": st.integers(0, 60),
    "texts": st.text("ab", max_size=4),
    "cells": st.tuples(st.integers(0, 9), st.integers(0, 9)),
}
_CHANGES = st.sampled_from(["add", "add", "add", "discard", "pop", "copy", "less", "clear"])


def _changed(members: set[Any], change: str, item: Any) -> set[Any]:
    match change:
        case "add":
            members.add(item)
        case "discard":
            members.discard(item)
        case "pop" if members:
            members.pop()
        case "copy":
            return members.copy()
        case "less":
            members -= set(list(members)[::3])
        case "clear" if len(members) > 30:
            members.clear()
    return members


@pytest.mark.parametrize("kind", _MEMBERS)
def test_a_copy_of_a_set_is_walked_and_popped_like_its_original_for_ever(kind):
    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.tuples(_CHANGES, _MEMBERS[kind]), max_size=150), st.lists(st.tuples(_CHANGES, _MEMBERS[kind])))
    def check(before, after):
        members: set[Any] = set()
        for change, item in before:
            members = _changed(members, change, item)
        assert table_of(members) is not None
        twin: set[Any] = set()
        try:
            fill_alike(twin, members, list(members))
        except Exception as error:
            assert str(error) == "is a set whose copy iterates in another order"
            return
        assert alike(twin, members)
        for change, item in after:
            members, twin = _changed(members, change, item), _changed(twin, change, item)
            assert list(members) == list(twin)

    check()


def test_hardly_any_set_is_refused():
    rng, refused = random.Random(1), 0
    for _ in range(300):
        members: set[Any] = set()
        for _ in range(rng.randrange(150)):
            members = _changed(members, rng.choice(["add", "add", "discard", "pop", "less"]), rng.randrange(200))
        twin: set[Any] = set()
        try:
            fill_alike(twin, members, list(members))
        except Exception:
            refused += 1
    assert refused == 0


# --- Gymnasium's own ----------------------------------------------------------------------------------------------


def test_tables_that_gymnasium_never_changes_are_shared():
    env: Any = gym.make("Taxi-v4" if "Taxi-v4" in gym.registry else "Taxi-v3")
    env.reset(seed=0)
    twin = fork(env)
    assert twin.unwrapped.P is env.unwrapped.P
    assert difference(env, twin) is None


def test_a_large_table_is_copied_in_less_time_than_deepcopy_takes():
    env = foreign(table={s: {a: [(1.0, s + a, -1, False)] for a in range(6)} for s in range(500)})

    def best(make: Callable[[Any], Any]) -> float:
        return min(timeit.repeat(lambda: make(env), number=1, repeat=5))

    assert best(fork) < best(copy.deepcopy)  # about an eighth
    assert fork(env).table == env.table and fork(env).table[3][2] is not env.table[3][2]
