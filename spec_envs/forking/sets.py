"""Copies of sets that are walked in the original's order, now and after later changes.

The order of a set depends on its table: on the size, on which slot each member got, on the slots of members that were
removed, and on where ``pop`` looks next. ``set.copy`` keeps some of these. Here the table is looked at (CPython offers
no other way than its memory, which is only read), and a copy with an equal table is built by adding and removing
members in the right order. What was built is looked at again. Where the memory does not look as expected, order and
size are compared instead.
"""

from __future__ import annotations

import ctypes
import operator
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from spec_envs.forking.kinds import Uncopyable

_WORD = ctypes.sizeof(ctypes.c_ssize_t)
_SMALLEST = 8
_LINEAR_PROBES = 9
_UNSIGNED = 2 ** (8 * _WORD)
#: Fillers are numbers that take slots for a while. These are the ones of slot 0: multiples of the sizes of tables that
#: are their own hashes, and that nobody would put into a set. Fillers of removed members are told apart from others.
_REMOVED, _OTHER = (number << (8 * _WORD - 20) for number in (0xB5BD, 0xB5BF))

#: Sizes of tables on the way to the right one, to be tried in turn.
_DETOURS = range(1, 6)


class Table(NamedTuple):
    """How a set stores its members."""

    size: int  # how many slots there are
    slots: np.ndarray[Any, Any]  # the slot of each member, in the order of iteration
    hashes: np.ndarray[Any, Any]  # the hash of each member
    removed: np.ndarray[Any, Any]  # the slots of members that were removed
    finger: int  # where ``pop`` looks next

    def equals(self, other: Table) -> bool:
        """Whether members in the same order of iteration are stored alike."""
        return (self.size, self.finger) == (other.size, other.finger) and all(
            map(np.array_equal, self[1:4], other[1:4])
        )


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
    """Whether two sets, whose members are equal in the order of iteration, store them alike."""
    mine, table = table_of(one), table_of(other)
    if mine is None or table is None:
        return bool(one.__sizeof__() == other.__sizeof__())
    return mine.equals(table)


def fill_alike(twin: set[Any], original: set[Any], members: list[Any]) -> None:
    """Put ``members``, the copies of the members of ``original`` in order, into the empty set ``twin``.

    Raises:
        Uncopyable: No set with these members is walked in the order of ``original``.
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
        raise Uncopyable("is a set of objects that hash by identity: its copy iterates in another order")
    if table is not None:
        for detour in _DETOURS:
            set.clear(twin)
            _build(twin, table, members, detour)
            if is_done():
                return
    raise Uncopyable("is a set whose copy iterates in another order")


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
    """An order of slots in which each comes after the slots at which its member is tried before."""
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
    fillers = range(_OTHER, _OTHER + 2 * power - 1 - len(members))
    set.update(twin, dict.fromkeys([*members, *fillers]))
    set.difference_update(twin, fillers)


def _point(twin: set[Any], finger: int) -> None:
    """Have ``pop`` look at ``finger`` next: the slot behind that of the member that was popped last."""
    last = _OTHER + finger - 1
    fillers = [_OTHER + slot for slot in range(finger + _SMALLEST) if slot != finger - 1]
    set.update(twin, dict.fromkeys([last, *fillers]))
    for filler in fillers:
        set.discard(twin, filler)
    set.pop(twin)
