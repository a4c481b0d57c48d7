"""Calls as data: keys, guesses, usage, and the cancel token."""

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import functools
import math
import pickle
import threading
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spec_envs import Call, CancelToken, Effect, Guess, Usage
from spec_envs.errors import CallCancelled, InvalidConfiguration
from spec_envs.handling import as_guess, as_handler
from spec_envs.values import key_of, same
from spec_envs.wrappers.tools import ToolRule

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.frozensets(st.text() | st.integers())
    ),
    max_leaves=8,
)


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Access(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


@dataclasses.dataclass(frozen=True)
class Frozen:
    value: object
    cache: object = dataclasses.field(default=None, compare=False)


@dataclasses.dataclass
class Mutable:
    value: object


class Text(str):
    pass


class Record(dict):
    pass


class Vector(np.ndarray):
    pass


def _noted(value, note):
    value.note = note
    return value


class Snapshot:
    """Hashes by its digest, as the snapshot of a store does."""

    def __init__(self, digest, contents):
        self.digest, self.contents = digest, contents

    def __eq__(self, other):
        return isinstance(other, Snapshot) and self.digest == other.digest

    def __hash__(self):
        return hash(self.digest)


class Plain:
    def __init__(self, value):
        self.value = value


class NoPickle:
    def __reduce__(self):
        raise TypeError("holds a socket")


@given(VALUES)
def test_a_copy_has_an_equal_hashable_key(value):
    key = key_of(value)
    assert key == key_of(pickle.loads(pickle.dumps(value)))
    hash(key)


@given(VALUES, VALUES)
def test_equal_keys_mean_equal_text(a, b):
    if key_of(a) == key_of(b) and not _holds_set(a):
        assert repr(a) == repr(b)


@given(VALUES)
def test_keys_are_pickled_and_still_equal(value):
    assert pickle.loads(pickle.dumps(key_of(value))) == key_of(value)


def _holds_set(value):
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return isinstance(value, frozenset) or any(map(_holds_set, items))


EAST = datetime.timezone(datetime.timedelta(hours=1))
DIFFERENT = [
    (1, 1.0),
    (1, True),
    (0, False),
    (0.0, -0.0),
    ("1", 1),
    ("a", b"a"),
    (None, "None"),
    ([1], (1,)),
    ([1, [2]], [[1], 2]),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({1}, frozenset({1})),
    ({1}, {True}),
    (range(2), [0, 1]),
    (np.float32(1), np.float64(1)),
    (np.int64(1), 1),
    (np.datetime64(1, "s"), np.datetime64(1, "ms")),
    (np.zeros(4), np.zeros((2, 2))),
    (np.zeros(2, "i4"), np.zeros(1, "i8")),
    (np.zeros(1, [("a", "i4")]), np.zeros(1, [("b", "i4")])),
    (np.zeros(2), [0.0, 0.0]),
    (np.array([1, "a"], dtype=object), np.array([True, "a"], dtype=object)),
    (Color.RED, Color.BLUE),
    (Color.RED, "RED"),
    (Access(0), Access.READ),
    (Frozen(1), Frozen(1.0)),
    (Frozen(1), Frozen(True)),
    (Mutable(1), Mutable(2)),
    (Mutable(1), Frozen(1)),
    (Plain(1), Plain(2)),
    (Snapshot("x", 1), Snapshot("y", 1)),
    (int, float),
    (slice(1), slice(2)),
    (_noted(Text("a"), 1), _noted(Text("a"), 2)),
    (_noted(Record(a=1), 1), _noted(Record(a=1), 2)),
    (_noted(np.zeros(2).view(Vector), 1), _noted(np.zeros(2).view(Vector), 2)),
    (collections.defaultdict(int), collections.defaultdict(list)),
    (collections.deque([1], 3), collections.deque([1])),
    (array.array("i", [1]), array.array("l", [1])),
    (decimal.Decimal("1.0"), decimal.Decimal("1.00")),
    (decimal.Decimal("0"), decimal.Decimal("-0")),
    (complex(0.0, 0.0), complex(0.0, -0.0)),
    (range(0, 3, 2), range(0, 4, 2)),
    (datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), datetime.datetime(2020, 1, 1, 1, tzinfo=EAST)),
    (datetime.datetime(2020, 11, 1, 1), datetime.datetime(2020, 11, 1, 1, fold=1)),
    (datetime.time(0, tzinfo=datetime.UTC), datetime.time(1, tzinfo=EAST)),
]

EQUAL = [
    (decimal.Decimal("NaN"), decimal.Decimal("NaN")),
    (complex(0.0, math.nan), complex(0.0, math.nan)),
    (datetime.datetime(2020, 1, 1, tzinfo=EAST), datetime.datetime(2020, 1, 1, tzinfo=EAST)),
    (collections.deque([1], 3), collections.deque([1], 3)),
    (math.nan, -math.nan),
    (np.array([1.0, math.nan]), np.array([1.0, math.nan])),
    (np.arange(6).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3))),
    (np.array([{"a": 1}], dtype=object), np.array([{"a": 1}], dtype=object)),
    ({1, 2}, {2, 1}),
    (_noted(Text("a"), 1), _noted(Text("a"), 1)),
    (collections.defaultdict(int, a=1), collections.defaultdict(int, a=1)),
    (range(10**9), range(10**9)),
    (Color.RED, Color.RED),
    (Access.READ | Access.WRITE, Access.WRITE | Access.READ),
    (Frozen([1], cache=1), Frozen([1], cache=2)),
    (Frozen(math.nan), Frozen(float("nan"))),
    (Mutable({"a": [1]}), Mutable({"a": [1]})),
    (Plain(1), Plain(1)),
    (Snapshot("x", 1), Snapshot("x", 2)),
]


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_what_can_be_told_apart_has_different_keys(a, b):
    assert key_of(a) != key_of(b)


@pytest.mark.parametrize(("a", "b"), EQUAL)
def test_what_cannot_be_told_apart_has_equal_keys(a, b):
    assert key_of(a) == key_of(b)
    assert hash(key_of(a)) == hash(key_of(b))


def test_sets_that_are_walked_in_another_order_can_be_told_apart():
    assert key_of({0, 8}) == key_of({8, 0})
    assert not same({"a": [{0, 8}]}, {"a": [{8, 0}]})
    assert same({"a": [{0, 8}]}, {"a": [{0, 8}]})


@dataclasses.dataclass
class Holder:
    ids: object


class Numbers(list[object]):
    ids: object = None


def numbers_with(ids: object) -> Numbers:
    numbers = Numbers([1])
    numbers.ids = ids
    return numbers


WRAPPED = {
    "itself": lambda ids: ids,
    "in a list": lambda ids: [1, ids],
    "in a dict": lambda ids: {"ids": ids},
    "as a key": lambda ids: {frozenset(ids): 1},
    "in a tuple in a dict": lambda ids: {"ids": (ids, "x")},
    "frozen": frozenset,
    "in a set": lambda ids: {frozenset(ids)},
    "in a dataclass": Holder,
    "in an attribute": numbers_with,
    "as the keys of a dict": lambda ids: dict.fromkeys(ids).keys(),
    "in a mapping proxy": lambda ids: types.MappingProxyType({"ids": ids}),
    "in an array": lambda ids: np.array([ids], dtype=object),
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_calls_and_guesses_with_sets_in_another_order_are_others(wrap):
    """A handler that loops over the set of its query may answer otherwise."""
    one, same_order, other = wrap({0, 8}), wrap({0, 8}), wrap({8, 0})
    assert Call("read", one) == Call("read", same_order) and hash(Call("read", one)) == hash(Call("read", same_order))
    assert Call("read", one) != Call("read", other)
    assert same(one, same_order) and not same(one, other)


def test_calls_with_queries_that_have_no_key_equal_themselves_alone():
    holds_itself: list[object] = []
    holds_itself.append(holds_itself)
    for query in (lambda: None, holds_itself):
        call = Call("fetch", query)
        assert call == Call("fetch", query) and call != Call("fetch", [query])


def test_an_object_that_can_be_neither_hashed_nor_pickled_is_named():
    NoPickle.__hash__ = None  # type: ignore[assignment, method-assign]  # what makes it unhashable
    with pytest.raises(TypeError, match=r"of type NoPickle can be neither hashed nor pickled.*__eq__ and __hash__"):
        key_of({"deep": [NoPickle()]})


def test_a_lambda_has_no_key():
    with pytest.raises(TypeError, match="of type function can be neither hashed nor pickled"):
        key_of(lambda: None)


def test_calls_are_compared_by_handler_and_query_alone():
    call = Call("fetch", {"url": "x"}, Effect.READ)
    assert call == Call("fetch", {"url": "x"}, Effect.WRITE, touches="web")
    assert hash(call) == hash(Call("fetch", {"url": "x"}))
    assert call != Call("fetch", {"url": "y"})
    assert call != Call("tool", {"url": "x"})
    assert call != "fetch"


def test_a_pickled_call_is_equal_before_and_after_its_key_was_computed():
    call = Call("fetch", (1, np.zeros(2)), Effect.READ, touches="web")
    early = pickle.loads(pickle.dumps(call))
    assert call.key == early.key
    late = pickle.loads(pickle.dumps(call))
    assert late == call and (late.effect, late.touches) == (Effect.READ, frozenset({"web"}))


def test_a_call_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Call("fetch", 1).handler = "tool"  # type: ignore[misc]  # what is tested


@pytest.mark.parametrize(
    ("mine", "other", "conflict"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("ab", "a", False),
        ({"a", "b"}, "b", True),
        ({"a", "b"}, {"b", "c"}, True),
        ({"a", "b"}, {"c"}, False),
        (None, "a", True),
        (None, None, True),
        (None, set(), False),
        ("a", set(), False),
        (set(), set(), False),
    ],
    ids=lambda value: "-".join(sorted(value)) or "nothing" if isinstance(value, set) else str(value),
)
def test_calls_conflict_when_they_may_touch_the_same(mine, other, conflict):
    one, another = Call("x", 1, touches=mine), Call("y", 2, touches=other)
    assert one.conflicts(another) is another.conflicts(one) is conflict


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, None),
        ("orders", frozenset({"orders"})),
        ({"orders", "users"}, frozenset({"orders", "users"})),
        ({"orders": 1}.keys(), frozenset({"orders"})),
        (frozenset(), frozenset()),
    ],
    ids=["None", "text", "set", "keys", "empty"],
)
def test_touches_is_kept_as_a_frozen_set_of_names_by_calls_and_by_rules_of_tools(given, kept):
    call = Call("x", [1], touches=given)
    for touches in (call.touches, call.owned().touches, ToolRule(touches=given).touches):
        assert touches == kept and isinstance(touches, frozenset | None)


@pytest.mark.parametrize("touches", [["orders"], {"orders": 1}, {1}, 5, b"orders"], ids=repr)
def test_touches_that_names_no_parts_is_refused(touches):
    for make in (lambda: Call("x", 1, touches=touches), lambda: ToolRule(touches=touches)):
        with pytest.raises(InvalidConfiguration, match=r"touches must name parts .* a set of texts, or be None, not"):
            make()


@pytest.mark.parametrize("probability", [-0.1, 1.1, math.nan, math.inf])
def test_a_guess_needs_a_probability(probability):
    with pytest.raises(InvalidConfiguration, match=r"probability of a guess must lie in \[0, 1\], not"):
        Guess("e2e4", probability)


def test_usage_adds_scales_and_says_whether_there_is_any():
    usage = Usage(10, 5, 0.25) + Usage(1, 1, 0.25)
    assert usage == Usage(11, 6, 0.5)
    assert usage.tokens == 17
    assert usage * 0.5 == Usage(5.5, 3.0, 0.25)
    assert usage and not Usage()
    assert sum([Usage(1), Usage(2)], Usage()) == Usage(3)


class Clock(CancelToken):
    """A token on a clock of its own, where waiting takes no time; cancelled during a wait if so told."""

    def __init__(self):
        super().__init__()
        self.time = 100.0
        self.cancel_after = math.inf

    def _now(self):
        return self.time

    def _wait(self, seconds):
        self.time += min(seconds, self.cancel_after)
        if seconds > self.cancel_after:
            self.cancel()


def test_cancel_calls_back_once_and_in_order():
    token, seen = CancelToken(), []
    token.on_cancel(lambda: seen.append("first"))
    token.on_cancel(lambda: seen.append("second"))
    assert not token.cancelled
    token.cancel()
    token.cancel()
    assert token.cancelled and seen == ["first", "second"]


def test_on_cancel_after_the_cancel_calls_back_at_once():
    token, seen = CancelToken(), []
    token.cancel()
    token.on_cancel(lambda: seen.append("late"))
    token.cancel()
    assert seen == ["late"]


def test_a_failing_callback_does_not_keep_the_others_from_running():
    token, seen = CancelToken(), []
    token.on_cancel(lambda: 1 / 0)  # type: ignore[arg-type]  # never returns
    token.on_cancel(lambda: seen.append("second"))
    with pytest.raises(ZeroDivisionError):
        token.cancel()
    assert token.cancelled and seen == ["second"]


def test_raise_if_cancelled():
    token = CancelToken()
    token.raise_if_cancelled()
    token.cancel()
    with pytest.raises(CallCancelled):
        token.raise_if_cancelled()


def test_cancel_ends_a_sleep_on_another_thread():
    token, ended = CancelToken(), []

    def handler():
        try:
            token.sleep(math.inf)
        except CallCancelled:
            ended.append(True)

    thread = threading.Thread(target=handler)
    thread.start()
    token.cancel()
    thread.join(timeout=10)
    assert ended == [True]


def test_sleep_after_the_cancel_neither_waits_nor_spends():
    token = Clock()
    token.cancel()
    with pytest.raises(CallCancelled):
        token.sleep(10, Usage(100))
    assert token.time == 100.0
    assert token.usage() == (Usage(), Usage())


def test_usage_is_spent_evenly_over_a_sleep():
    token = Clock()
    token.sleep(10, Usage(100, 50))
    token.spend(Usage(money=1.0))
    full = Usage(100, 50, 1.0)
    assert token.usage() == (full, full)
    assert token.usage(at=102.5) == (Usage(25, 12.5), full)
    assert token.usage(at=99.0) == (Usage(), full)
    assert token.usage(at=1000.0) == (full, full)


def test_a_cancelled_sleep_costs_no_more_later():
    token = Clock()
    token.cancel_after = 4.0
    with pytest.raises(CallCancelled):
        token.sleep(10, Usage(100))
    token.time += 1000
    assert token.usage() == (Usage(40), Usage(100))


def test_sleeping_no_time_spends_at_once():
    token = Clock()
    token.sleep(0, Usage(7))
    assert token.usage() == (Usage(7), Usage(7))


def with_cancel(query, cancel):
    return query, cancel


def keyword_only(query, *, cancel=None):
    return query, cancel


def third(query, history="", cancel=None):
    return query, history, cancel


@functools.wraps(with_cancel)
def wrapped(*args, **kwargs):
    return with_cancel(*args, **kwargs)


class Bound:
    def __call__(self, query, cancel):
        return query, cancel

    def method(self, query):
        return query


@pytest.mark.parametrize(
    ("function", "result"),
    [
        (with_cancel, (1, "token")),
        (keyword_only, (1, "token")),
        (third, (1, "", "token")),
        (wrapped, (1, "token")),
        (Bound(), (1, "token")),
        (Bound().method, 1),
        (functools.partial(third, history="h"), (1, "h", "token")),
        (str, "1"),
        (lambda query: query, 1),
    ],
)
def test_a_handler_gets_the_token_if_it_has_a_parameter_for_it(function, result):
    assert as_handler(function)(1, "token") == result


def test_a_guess_gets_what_it_has_parameters_for():
    given = [
        as_guess(guess)("call", 3, "token", "early")
        for guess in (
            lambda call, k: (call, k),
            lambda call, k, cancel: (call, k, cancel),
            lambda call, k, *, early, cancel=None: (call, k, cancel, early),
        )
    ]
    assert given == [("call", 3), ("call", 3, "token"), ("call", 3, "token", "early")]


def test_what_cannot_be_called_is_no_handler():
    with pytest.raises(InvalidConfiguration, match="a handler must be callable, and 'stockfish' is not"):
        as_handler("stockfish")  # type: ignore[arg-type]  # what is tested
