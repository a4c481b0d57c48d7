"""The exact state of numpy's random bit generators, cheap to take and to hold.

``copy.deepcopy`` of a generator costs more than the rest of a fork, and most forks never draw. So a fork takes a
snapshot, and builds its generator from the snapshot only when the generator is needed.
"""

import copy
from typing import Any, NamedTuple

import numpy as np


class Snapshot(NamedTuple):
    """The state of a bit generator, which does not change with the generator."""

    kind: type[np.random.BitGenerator]
    state: Any
    seeds: Any  # the base of spawn(); of a ``SeedSequence`` only the number of its children changes
    spawned: int = 0  # that number


def snapshot(bits: np.random.BitGenerator) -> Snapshot:
    """The state of ``bits`` now."""
    sequence = getattr(bits, "seed_seq", None)
    if type(sequence) is np.random.SeedSequence:
        return Snapshot(type(bits), bits.state, sequence, sequence.n_children_spawned)
    return Snapshot(type(bits), bits.state, copy.deepcopy(sequence))


def restored(kind: type[np.random.BitGenerator], state: Any, seeds: Any, spawned: int) -> np.random.BitGenerator:
    """A new bit generator in the state of a snapshot."""
    if type(seeds) is np.random.SeedSequence:
        bits = kind(
            np.random.SeedSequence(
                seeds.entropy, spawn_key=seeds.spawn_key, pool_size=seeds.pool_size, n_children_spawned=spawned
            )
        )
    else:
        # 0 spares the operating system's entropy; the state is overwritten below.
        bits = kind(0 if seeds is None else copy.deepcopy(seeds))
        if seeds is None and isinstance(bits, np.random.MT19937):
            bits._legacy_seeding(0)  # as RandomState does, and has no SeedSequence then
    bits.state = state
    return bits


def seeds_of(bits: np.random.BitGenerator) -> Any:
    """The seeds from which ``bits`` spawns children, as a value; ``None`` if it has no ``SeedSequence``."""
    sequence = getattr(bits, "seed_seq", None)
    if type(sequence) is np.random.SeedSequence:
        return (sequence.entropy, sequence.spawn_key, sequence.pool_size, sequence.n_children_spawned)
    return copy.deepcopy(sequence)
