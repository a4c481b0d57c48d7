"""``sysbench cpu``: the workload of the ``sysbench`` backend."""

from __future__ import annotations

import dataclasses

from spec_envs.checks import integer
from spec_envs.tuning.knobs import Knob
from spec_envs.tuning.workloads.round_robin import SLICE


@dataclasses.dataclass(frozen=True, slots=True)
class SysbenchCpu:
    """``sysbench cpu``: an event tests all numbers up to ``max_prime`` for being prime.

    Attributes:
        threads: Threads on each core, at least 1.
        max_prime: The greatest number, at least 3. An event takes about 0.2 ms with 10000 (sysbench's default) and 9 ms
            with 150000; its time grows a little faster than the number.
    """

    threads: int = 4
    max_prime: int = 10_000

    def __post_init__(self) -> None:
        integer("threads", self.threads, least=1)
        integer("max_prime", self.max_prime, least=3)

    @property
    def name(self) -> str:
        """Such as "sysbench cpu, 4 threads, primes to 10000"."""
        return f"sysbench cpu, {self.threads} threads, primes to {self.max_prime}"

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """The scheduler slice."""
        return (SLICE,)
