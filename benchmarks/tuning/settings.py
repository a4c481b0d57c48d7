"""How episodes of tuning are run: the options of ``spec-envs bench tuning``, and what follows from them."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, Literal, get_args

from spec_envs.errors import InvalidConfiguration
from spec_envs.tuning.backends.by_name import BACKENDS, make_backend
from spec_envs.tuning.backends.simulated import SimulatedBackend
from spec_envs.tuning.workloads.round_robin import SLICE, RoundRobin
from spec_envs.tuning.workloads.surface import Surface
from spec_envs.wrappers import Limits

if TYPE_CHECKING:
    from spec_envs.tuning.backends.protocol import Backend
    from spec_envs.tuning.measurement import Workload

Mode = Literal["actor", "speculator", "lossless", "last-write-wins"]
Actor = Literal["best", "gp", "climb", "random"]
Guesses = Literal["gp", "climb", "same", "random", "half"]
Clock = Literal["virtual", "wall"]

#: Backends that run a ``RoundRobin``.
_ROUND_ROBIN = ("simulated", "eevdf")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TuningSettings:
    """How the episodes are run.

    Args:
        backend: Where the workload runs; "simulated" in virtual time too.
        mode: "actor" (the tuner alone, on the live system), "speculator" (the guesser alone), "lossless" (the guesser
            foresees the tuner, ``SpeculativeWrapper``), or "last-write-wins" (both set the live system).
        actor: The tuner: "best" knows the optimum, "gp" and "climb" search for it, "random" does not.
        actor_seconds: How long it thinks.
        guesser: Who guesses; "half" knows what the actor will do, and says so half of the times.
        k: Guesses for one answer; ``max_inflight``: speculative calls at once. Of "lossless".
        max_inflight: See ``k``.
        windows: Of an episode, that of the start included; ``window_s`` is the length of each in seconds.
        window_s: See ``windows``.
        service_ms: Of the round-robin workload; so ``tasks``, on each core.
        tasks: See ``service_ms``.
        start: Where the slice starts, in ms.
        knobs: With 2 to 6: a ``Surface`` of so many knobs instead, a new one for each seed. 1: round-robin.
        clock: "virtual" (the simulator only), or "wall".

    Raises:
        InvalidConfiguration: A value makes no sense, or not with the others; says which.
    """

    backend: str = "simulated"
    mode: Mode = "last-write-wins"
    actor: Actor = "best"
    actor_seconds: float = 10.0
    guesser: Guesses = "gp"
    k: int = 3
    max_inflight: int = 8
    windows: int = 20
    window_s: float = 1.0
    service_ms: float = 9.5
    tasks: int = 4
    start: float = 32.0
    knobs: int = 1
    clock: Clock = "virtual"

    def __post_init__(self) -> None:
        choices = {"backend": tuple(BACKENDS), "mode": get_args(Mode), "actor": get_args(Actor)}
        choices |= {"guesser": get_args(Guesses), "clock": get_args(Clock)}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise InvalidConfiguration(f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}")
        for name in ("k", "windows"):
            if getattr(self, name) < 1:
                raise InvalidConfiguration(f"{name} must be at least 1, not {getattr(self, name)!r}")
        for name in ("actor_seconds", "window_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise InvalidConfiguration(f"{name} must be above 0 and finite, not {getattr(self, name)!r}")
        if self.clock == "virtual" and self.backend != "simulated":
            raise InvalidConfiguration(f"the backend {self.backend!r} is real; give --clock wall")
        if self.knobs > 1 and self.backend != "simulated":
            raise InvalidConfiguration(f"--knobs {self.knobs} are those of a made-up machine; give --backend simulated")
        if self.actor == "best" and self.backend not in _ROUND_ROBIN:
            raise InvalidConfiguration(
                f"the best setting of {self.backend!r} is not known; give an actor that searches for it: "
                f"--actor gp, climb or random"
            )
        _ = self.limits, self.workload(0)  # check the others

    @property
    def limits(self) -> Limits:
        """The limits of the speculation."""
        return Limits(max_inflight=self.max_inflight)

    def workload(self, seed: int) -> Workload | None:
        """What runs; ``None`` for the backend's own."""
        if self.knobs > 1:
            return Surface(self.knobs, seed)
        return RoundRobin(self.service_ms, self.tasks) if self.backend in _ROUND_ROBIN else None

    def make_backend(self) -> Backend:
        """The backend; the caller closes it."""
        if self.backend == "simulated":
            return SimulatedBackend(paced=True)
        return make_backend(self.backend, workload=self.workload(0), allow_system=False)

    @property
    def environment(self) -> dict[str, Any]:
        """Arguments of ``SpecTuning-v0``."""
        starts = {SLICE.name: self.start} if self.knobs == 1 and self.backend in (*_ROUND_ROBIN, "sysbench") else None
        settle_s = min(0.1, self.window_s / 10)
        # The environment does not count the window of the start; the tuner sees all windows.
        windows = {"windows": max(1, self.windows - 1), "history": self.windows}
        return {"start": starts, "window_s": self.window_s, "settle_s": settle_s, **windows}
