"""Copies of sets that iterate in the same order as the original, now and after later changes.

The order of a set depends on its table: on the size of the table, the slot of each member, the slots of members that
were removed, and the place where ``pop`` looks next. ``set.copy`` keeps only some of these. Here the table is read from
the set's memory (CPython offers no other way), and a copy with an equal table is built by adding and removing members
in the right order. Then the copy's table is read and compared. If the memory does not look as expected, the order and
the size are compared instead.
"""

from __future__ import annotations

import ctypes
import operator
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

_WORD = ctypes.sizeof(ctypes.c_ssize_t)
_SMALLEST = 8
_LINEAR_PROBES = 9
_UNSIGNED = 2 ** (8 * _WORD)
#: Fillers are numbers that occupy slots for a while. These two are the fillers of slot 0, for removed members and for
#: other purposes: multiples of all sizes of tables, which are their own hashes, and which nobody would put into a set.
_REMOVED, _OTHER = (number << (8 * _WORD - 20) for number in (0xB5BD, 0xB5BF))

#: Exponents for the size of an intermediate table, tried one after the other.
_DETOURS = range(1, 6)


class Table(NamedTuple):
    """How a set stores its members."""

    size: int  # the number of slots
    slots: np.ndarray[Any, Any]  # the slot of each member, in the order of iteration
    hashes: np.ndarray[Any, Any]  # the hash of each member
    removed: np.ndarray[Any, Any]  # the slots of members that were removed
    finger: int  # the slot where ``pop`` looks next

    def equals(self, other: Table) -> bool:
        """Whether both tables store members, in the same order of iteration, in the same slots."""
        return (self.size, self.finger) == (other.size, other.finger) and all(
            map(np.array_equal, self[1:4], other[1:4])
        )


def _memory_of(members: Any) -> tuple[int, int, bytes] | None:
    """The number of used and removed slots, ``pop``'s next slot and the table; ``None``: unexpected memory."""
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
    """The table of a set or frozenset; ``None`` if this Python stores sets in another way."""
    memory = _memory_of(members)
    if memory is None:
        return None
    words = np.frombuffer(memory[2], np.intp).reshape(-1, 2)
    used = words[:, 0] != 0
    (removed,) = np.nonzero(used & (words[:, 1] == -1))
    (slots,) = np.nonzero(used & (words[:, 1] != -1))
    family: Any = set if isinstance(members, set) else frozenset
    if not np.array_equal(words[slots, 0], np.fromiter(map(id, family.__iter__(members)), np.intp, len(members))):
        return None
    if len(removed) != memory[0] - len(members):
        return None
    return Table(len(words), slots, words[slots, 1], removed, memory[1])


def alike(one: Any, other: Any) -> bool:
    """Whether two sets with the same members in the same order of iteration have equal tables."""
    mine, table = table_of(one), table_of(other)
    if mine is None or table is None:
        return bool(one.__sizeof__() == other.__sizeof__())
    return mine.equals(table)


def fill_alike(twin: set[Any], original: set[Any], members: list[Any]) -> None:
    """Put ``members``, the copies of the members of ``original`` in order, into the empty set ``twin``.

    Raises:
        ValueError: No set with these members iterates in the order of ``original``.
    """
    shared = all(map(operator.is_, members, set.__iter__(original)))
    memory = _memory_of(original) if shared else None

    def is_done() -> bool:
        if memory is not None:  # the same members, so the same memory
            return memory == _memory_of(twin)
        in_order = len(twin) == len(members) and all(map(operator.is_, set.__iter__(twin), members))
        return in_order and alike(twin, original)

    set.update(twin, original if shared else members)
    if is_done():
        return
    table = table_of(original)
    if table is not None and table.hashes.tolist() != list(map(hash, members)):
        raise ValueError("is a set of objects that hash by identity: its copy iterates in another order")
    if table is not None:
        for detour in _DETOURS:
            set.clear(twin)
            _build(twin, table, members, detour)
            if is_done():
                return
    raise ValueError("is a set whose copy iterates in another order")


def _build(twin: set[Any], table: Table, members: list[Any], detour: int) -> None:
    size = table.size
    fillers = (table.removed + _REMOVED).tolist()
    slots = [*table.slots.tolist(), *table.removed.tolist()]
    hashes = [*table.hashes.tolist(), *fillers]
    entries = dict(zip(slots, [*members, *fillers], strict=True))
    if table.finger:
        _point(twin, table.finger)
    order = _order_of_adding(slots, hashes, size)
    if size > _SMALLEST or table.finger:
        placed = size // 8 if size > _SMALLEST else 0
        _resize(twin, [entries[slot] for slot in order[:placed]], detour)
        order = order[placed:]
    for slot in order:
        set.add(twin, entries[slot])
    for filler in fillers:
        set.discard(twin, filler)


def _order_of_adding(slots: list[int], hashes: list[int], size: int) -> list[int]:
    """An order of slots in which each slot comes after the slots that are tried first for its member."""
    order = [slot for slot, hash_ in zip(slots, hashes, strict=True) if hash_ & (size - 1) == slot]
    occupied = set(order)
    before = {
        slot: set(_before(hash_, slot, size)) for slot, hash_ in zip(slots, hashes, strict=True) if slot not in occupied
    }
    while before:
        ready = [slot for slot, tried in before.items() if tried <= occupied]
        if not ready:
            break  # no order of adding leads to this table
        order += ready
        occupied.update(ready)
        for slot in ready:
            del before[slot]
    return order


def _before(hash_: int, slot: int, size: int) -> Iterator[int]:
    """The slots that are tried for a member before ``slot``."""
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

    ``difference_update`` makes such a table if more than a quarter of the old table would be removed members. The size
    of the old table, which depends on ``detour``, decides the order in which members of equal hashes are moved.
    """
    power = 1 << (len(members) + 2).bit_length() + detour
    fillers = range(_OTHER, _OTHER + 2 * power - 1 - len(members))
    set.update(twin, dict.fromkeys([*members, *fillers]))
    set.difference_update(twin, fillers)


def _point(twin: set[Any], finger: int) -> None:
    """Make ``pop`` look at the slot ``finger`` next, by popping a member from the slot before it."""
    last = _OTHER + finger - 1
    fillers = [_OTHER + slot for slot in range(finger + _SMALLEST) if slot != finger - 1]
    set.update(twin, dict.fromkeys([last, *fillers]))
    for filler in fillers:
        set.discard(twin, filler)
    set.pop(twin)
