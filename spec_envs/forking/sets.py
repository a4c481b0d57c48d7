"""Copies of sets that are walked in the original's order, now and after later changes.

The order of a set depends on its table: on the size, on which slot each member got, on the slots of members that were
removed, and on where ``pop`` looks next. ``set.copy`` keeps some of these. Here the table is looked at (CPython offers
no other way than its memory, which is only read), and a copy with an equal table is built by adding and removing
members in the right order. What was built is looked at again. Where the memory does not look as expected, order and
size are compared instead.
"""

import ctypes
from collections.abc import Iterator
from typing import Any, NamedTuple

from spec_envs.forking.kinds import Uncopyable

_UNUSED, _REMOVED = -1, -2
_WORD = ctypes.sizeof(ctypes.c_ssize_t)
_SMALLEST = 8
_LINEAR_PROBES = 9
_UNSIGNED = 2 ** (8 * _WORD)
#: Added to the hashes of fillers; a multiple of every table size, and larger than the hash of common integers.
_FAR = 1 << (8 * _WORD - 4)

#: Sizes of tables on the way to the right one, to be tried in turn.
_DETOURS = range(1, 6)


class Table(NamedTuple):
    """How a set stores its members.

    Attributes:
        slots: For each slot of the table the number of its member, in the order of iteration, or one of the marks.
        hashes: The hash of each member.
        finger: Where ``pop`` looks next.
    """

    slots: tuple[int, ...]
    hashes: tuple[int, ...]
    finger: int


class _Filler:
    """Takes a slot for a while."""

    def __init__(self, slot: int) -> None:
        self._hash = slot + _FAR

    def __hash__(self) -> int:
        return self._hash


def _memory_of(members: Any) -> tuple[int, int, bytes] | None:
    """Count of used and removed slots, ``pop``'s next place and the table; ``None``: sets are stored in another way."""
    family: Any = set if isinstance(members, set) else frozenset
    fill, used, mask, table, _, finger = (ctypes.c_ssize_t * 6).from_address(id(members) + object.__basicsize__)
    size = mask + 1
    if used != len(members) or not used <= fill < size or size < _SMALLEST or size & mask:
        return None
    outside = size * 2 * _WORD if size > _SMALLEST else 0
    if family.__sizeof__(members) != type(members).__basicsize__ + outside:
        return None
    return fill, finger, ctypes.string_at(table, size * 2 * _WORD)


def table_of(members: Any) -> Table | None:
    """The table of a set or frozenset; ``None`` where this Python stores sets in another way."""
    memory = _memory_of(members)
    if memory is None:
        return None
    words = memoryview(memory[2]).cast("q" if _WORD == 8 else "l")
    slots: list[int] = []
    hashes: list[int] = []
    family: Any = set if isinstance(members, set) else frozenset
    expected = map(id, family.__iter__(members))
    for key, hash_ in zip(words[::2], words[1::2], strict=True):
        if not key:
            slots.append(_UNUSED)
        elif hash_ == -1:
            slots.append(_REMOVED)
        elif next(expected, None) == key:
            slots.append(len(hashes))
            hashes.append(hash_)
        else:
            return None
    if len(hashes) != len(members) or slots.count(_REMOVED) != memory[0] - len(members):
        return None
    return Table(tuple(slots), tuple(hashes), memory[1])


def alike(one: Any, other: Any) -> bool:
    """Whether two sets, whose members are equal in the order of iteration, store them alike."""
    mine, table = table_of(one), table_of(other)
    if mine is None or table is None:
        return bool(one.__sizeof__() == other.__sizeof__())
    return mine == table


def fill_alike(twin: set[Any], original: set[Any], members: list[Any]) -> None:
    """Put ``members``, the copies of the members of ``original`` in order, into the empty set ``twin``.

    Raises:
        Uncopyable: No set with these members is walked in the order of ``original``.
    """
    shared = all(map(_is, members, set.__iter__(original)))
    set.update(twin, original if shared else members)
    if shared and (memory := _memory_of(original)) is not None and memory == _memory_of(twin):
        return
    table = table_of(original)
    if _matches(twin, original, members):
        return
    if table is not None and table.hashes != tuple(map(hash, members)):
        raise Uncopyable("is a set of objects that hash by identity: its copy iterates in another order")
    if table is not None:
        for detour in _DETOURS:
            set.clear(twin)
            _build(twin, table, members, detour)
            if _matches(twin, original, members):
                return
    raise Uncopyable("is a set whose copy iterates in another order")


def _is(one: Any, other: Any) -> bool:
    return one is other


def _matches(twin: set[Any], original: set[Any], members: list[Any]) -> bool:
    return len(twin) == len(members) and all(map(_is, set.__iter__(twin), members)) and alike(twin, original)


def _build(twin: set[Any], table: Table, members: list[Any], detour: int) -> None:
    size = len(table.slots)
    entries = {
        slot: _Filler(slot) if number == _REMOVED else members[number]
        for slot, number in enumerate(table.slots)
        if number != _UNUSED
    }
    if table.finger:
        _point(twin, table.finger)
    order = _order_of_adding({slot: set(_before(hash(entry), slot, size)) for slot, entry in entries.items()})
    if size > _SMALLEST or table.finger:
        placed = size // 8 if size > _SMALLEST else 0
        _resize(twin, [entries[slot] for slot in order[:placed]], detour)
        order = order[placed:]
    for slot in order:
        set.add(twin, entries[slot])
    for entry in entries.values():
        if type(entry) is _Filler:
            set.discard(twin, entry)


def _order_of_adding(before: dict[int, set[int]]) -> list[int]:
    """An order of slots in which each comes after the slots at which its member is tried before."""
    order: list[int] = []
    occupied: set[int] = set()
    while len(order) < len(before):
        ready = [slot for slot, tried in before.items() if slot not in occupied and tried <= occupied]
        if not ready:
            break  # no order of adding leads to this table
        order += ready
        occupied.update(ready)
    return order


def _before(hash_: int, slot: int, size: int) -> Iterator[int]:
    """The slots at which a member is tried before it gets ``slot``."""
    mask, perturb = size - 1, hash_ % _UNSIGNED
    index = perturb & mask
    for _ in range(10 * size):
        for tried in range(index, index + (_LINEAR_PROBES if index + _LINEAR_PROBES <= mask else 0) + 1):
            if tried == slot:
                return
            yield tried
        perturb >>= 5
        index = (index * 5 + 1 + perturb) & mask


def _resize(twin: set[Any], members: list[Any], detour: int) -> None:
    """Give ``twin`` the ``members`` and a table of eight times their number, without a removed member.

    ``difference_update`` makes such a table where more than a quarter of the old one would be removed members. The
    size of the old one, by ``detour``, decides the order in which members of equal hashes get to the new one.
    """
    power = 1 << (len(members) + 2).bit_length() + detour
    fillers = [_Filler(slot) for slot in range(2 * power - 1 - len(members))]
    set.update(twin, dict.fromkeys([*members, *fillers]))
    set.difference_update(twin, fillers)


def _point(twin: set[Any], finger: int) -> None:
    """Have ``pop`` look at ``finger`` next: the slot behind that of the member that was popped last."""
    last = _Filler(finger - 1)
    fillers = [_Filler(slot) for slot in range(finger + _SMALLEST) if slot != finger - 1]
    set.update(twin, dict.fromkeys([last, *fillers]))
    for filler in fillers:
        set.discard(twin, filler)
    set.pop(twin)
