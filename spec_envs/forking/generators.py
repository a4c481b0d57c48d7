"""The exact state of numpy's random bit generators, cheap to take and to hold.

``copy.deepcopy`` of a generator costs more than the rest of a fork, and most forks never draw. So a fork takes a
snapshot, and builds its generator from the snapshot only when the generator is needed.
"""

import copy
from typing import Any, NamedTuple, cast

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


def restored(
    kind: type[np.random.BitGenerator], state: Any, seeds: Any, spawned: int, sequence: Any = None
) -> np.random.BitGenerator:
    """A new bit generator in the state of a snapshot; ``sequence`` is the copy of its seeds, where there is one."""
    make: Any = kind  # its class does not say to a checker of types what it takes
    if type(seeds) is np.random.SeedSequence:
        sequence = sequence or _copied(seeds, spawned)
        bits: np.random.BitGenerator = make(_ZEROS if kind in _TAKE_SEEDS else sequence)
        if kind in _TAKE_SEEDS:
            make.__setstate__(bits, (state, sequence))
            return bits
    else:
        # 0 spares the operating system's entropy; the state is overwritten below.
        bits = make(0 if seeds is None else copy.deepcopy(seeds))
        if seeds is None and isinstance(bits, np.random.MT19937):
            bits._legacy_seeding(0)  # as RandomState does, and has no SeedSequence then
    bits.state = state
    return bits


def _copied(seeds: np.random.SeedSequence, spawned: int) -> np.random.SeedSequence:
    """Seeds like ``seeds`` when these had ``spawned`` so many children."""
    if seeds.n_children_spawned == spawned:
        # As copy.copy does it, in a third of the time; the constructor would mix the entropy anew.
        make, arguments, *states = cast(Any, seeds).__reduce__()
        twin: np.random.SeedSequence = make(*arguments)
        for state in states:
            cast(Any, twin).__setstate__(state)
        return twin
    return np.random.SeedSequence(
        seeds.entropy, spawn_key=seeds.spawn_key, pool_size=seeds.pool_size, n_children_spawned=spawned
    )


class _Zeros(np.random.bit_generator.ISeedSequence):
    """Seeds with zeros, because the state is set later: to draw a seed takes as long as all else."""

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
        """``n_words`` zeros."""
        return np.zeros(n_words, dtype)


_ZEROS = _Zeros()
#: The kinds that take a state together with the seeds; in older versions of numpy, none does.
_TAKE_SEEDS = frozenset(
    kind
    for kind in (np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64)
    if isinstance(kind(0).__getstate__(), tuple)
)


def seeds_of(bits: np.random.BitGenerator) -> Any:
    """The seeds from which ``bits`` spawns children, as a value; ``None`` if it has no ``SeedSequence``."""
    sequence = getattr(bits, "seed_seq", None)
    if type(sequence) is np.random.SeedSequence:
        return (sequence.entropy, sequence.spawn_key, sequence.pool_size, sequence.n_children_spawned)
    return copy.deepcopy(sequence)
