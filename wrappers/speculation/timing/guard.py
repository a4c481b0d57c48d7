"""The guard: has cycles run ahead where running ahead pays, and plainly elsewhere, so that nobody loses by the wrapper.

The guard knows no handlers and no guessers, only how long cycles take. It starts with plain cycles. The time that
cycles ahead take beyond the mean of the last plain cycles is *regret*. Regret is paid from an account. The account
holds ``GRACE_S``, and grows by a share of the time or by a little with each step, less the time that the wrapper itself
takes in plain steps.

Where calls are long and the CPU idles, the guard runs ahead at once. Elsewhere it first tries whether running ahead
pays, when the account holds the cost of the trial. It stops when the account is empty or nothing is gained, and tries
again more rarely after each failure. Now and then, at cycles drawn beforehand, it runs a few cycles plainly, to keep
knowing how long a plain cycle takes.

Pure: no clock; cycles are given as data.
"""

import dataclasses
import enum
import functools
import random

from spec_envs.wrappers.speculation.timing.cycles import IDLE_CPU, Cycle, Window

#: The account: the time that may be lost at first; a share of the time, or seconds for each step, whichever is more.
GRACE_S, SHARE, STEP_S = 5e-3, 0.035, 80e-6
#: The share of the time for which a busy CPU may seem to idle, because other programs use the CPU.
_STOLEN = 0.1

#: The number of the last plain cycles with which cycles ahead are compared.
_MEMORY = 40
#: The number of plain cycles that are needed before a trial, where calls are short.
_LEAST_PLAIN = 4
#: A trial may cost the machinery of this many cycles and, where the CPU is busy, this many cycles of slower calls.
_TRIAL = 2
#: The assumed machinery time of a cycle ahead before one was measured; and the weight of a new cycle in its mean.
_MACHINERY_S, _NEW = 2e-3, 0.2
#: The guard stops after this number of cycles ahead without a gain of ``_LEAST_GAIN``.
_TRIED, _LEAST_GAIN = 40, 0.01
#: The number of plain cycles after the first failure, doubled after each further failure; and the greatest number.
_REST, _MOST_REST = 40, 10_000
#: The number of cycles ahead before the first control, if the guard starts from the record of an earlier wrapper.
_RECALLED = 5
#: The least and the greatest number of cycles between two controls; the number of cycles of a control, of which the
#: first does not count.
_GAPS, _LONG_GAPS, _CONTROL = (30, 90), (60, 140), 3


class Mode(enum.Enum):
    """What the next cycle is for."""

    PLAIN = "plain"
    WARMING = "warming"  # plainly; guessers and threads get ready beside the cycle
    AHEAD = "ahead"
    CONTROL = "control"  # plainly, to know how long a plain cycle takes


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """What a later wrapper may know of this one: how its last plain cycles were, and how running ahead went.

    Args:
        plain_s: The mean time of a plain cycle.
        calls_s: The part of this time in calls.
        call_s: The mean time of one call.
        cpu: The share of the time for which the process computed.
        machinery_s: The machinery time of a cycle ahead.
        pays: Whether calls were made ahead at the end.
        failures: How often the guard had to stop.
    """

    plain_s: float
    calls_s: float
    call_s: float
    cpu: float
    machinery_s: float
    pays: bool
    failures: int


class Guard:
    """Decides cycle by cycle whether calls are made ahead of time.

    Args:
        seed: The seed of the places of control cycles.
        record: The record of an earlier wrapper, if there is one.
        idle_cpu: The share of the time that the process may compute while its CPU counts as idle.

    Attributes:
        mode: What the cycle under way is for.
        idle_cpu: See the arguments.
        regret_s: The time that was lost and not won back.
    """

    def __init__(self, *, seed: int = 0, record: Record | None = None, idle_cpu: float = IDLE_CPU) -> None:
        self.mode = Mode.PLAIN
        self.regret_s = 0.0
        self._seed = seed
        self.idle_cpu = idle_cpu
        self._plain = Window(_MEMORY, idle_cpu)
        self._elapsed_s, self._steps, self._own_s = 0.0, 0, 0.0
        self._failures, self._rest, self._left = 0, 0, 0
        self._machinery_s = _MACHINERY_S
        self._tried, self._gain_s, self._expected_s = 0, 0.0, 0.0
        self._is_recalled = False
        if record is not None:
            self._recall(record)

    @functools.cached_property
    def _random(self) -> random.Random:
        """The generator of the places, made on first use: many a guard draws none."""
        return random.Random(self._seed)

    # -- what is known -------------------------------------------------------------------------------------------

    def _recall(self, record: Record) -> None:
        calls = max(1, round(record.calls_s / record.call_s)) if record.call_s > 0 else 1
        self._plain.add(Cycle(record.plain_s, record.calls_s, calls, cpu=record.cpu))
        self._machinery_s = record.machinery_s
        self._failures = record.failures
        self._is_recalled = True
        if record.pays or (self.waits and not record.failures):
            self._go_ahead()
            self._left = _RECALLED
        elif record.failures:
            self._rest = _REST

    def record(self) -> Record | None:
        """The record for a later wrapper; ``None`` before the first plain cycle."""
        if not self._plain:
            return None
        return Record(
            self._plain.seconds,
            self._plain.calls_s,
            self._plain.call_s,
            self._plain.cpu,
            self._machinery_s,
            self.mode in (Mode.AHEAD, Mode.CONTROL),
            self._failures,
        )

    @property
    def budget_s(self) -> float:
        """The time that may be lost by now: the content of the account."""
        return max(0.0, GRACE_S + max(SHARE * self._elapsed_s, STEP_S * self._steps) - self._own_s)

    @property
    def waits(self) -> bool:
        """Whether plain cycles wait for long calls while the CPU idles."""
        return self._plain.waits

    def _expected(self, cycle: Cycle) -> float:
        """How long ``cycle`` would have taken plainly. Long calls vary, so they are taken from the cycle itself."""
        if not self.waits:
            return self._plain.seconds
        return cycle.calls_s + self._plain.local_s

    # -- what happens --------------------------------------------------------------------------------------------

    def ended(self, cycle: Cycle, *, is_warm: bool = True, is_late: bool = False) -> None:
        """A cycle has ended; decide the ``mode`` of the next cycle.

        Args:
            cycle: The cycle.
            is_warm: Whether guessers and threads are ready.
            is_late: Whether the event loop runs due tasks late, so that speculation has to give way.
        """
        self._elapsed_s += cycle.seconds * cycle.steps
        self._steps += cycle.steps
        if cycle.settled and not cycle.ahead and self.mode is not Mode.WARMING:
            if self._is_recalled:  # the record of another wrapper may not hold here
                self._is_recalled, self._plain = False, Window(_MEMORY, self.idle_cpu)
            self._plain.add(cycle)
            self._own_s += cycle.machinery_s * cycle.steps
        elif self._plain:
            self.lost((cycle.seconds - self._expected(cycle)) * cycle.steps)
        if cycle.ahead:
            self._machinery_s += _NEW * (cycle.machinery_s - self._machinery_s)
            if cycle.settled and self._plain:
                self._judge(cycle)
        if self.mode is not Mode.PLAIN:
            self._decide(is_warm, is_late)
            return
        self._rest -= cycle.steps
        # This code is much of the time of a plain step, so the quickest question comes first.
        if self._rest < 0 and cycle.calls_s >= self._machinery_s and not is_late and self._may_try():
            self.mode = Mode.WARMING
            if self.waits:
                self._go_ahead()  # guessers and threads that are not ready yet get ready beside the first call

    def lost(self, seconds: float) -> None:
        """Running ahead has lost ``seconds``; negative: it has won them."""
        self.regret_s = max(0.0, self.regret_s + seconds)

    def _judge(self, cycle: Cycle) -> None:
        expected = self._expected(cycle)
        self._tried += 1
        self._gain_s += expected - cycle.seconds
        self._expected_s += expected

    def _decide(self, is_warm: bool, is_late: bool) -> None:
        if self.mode is Mode.AHEAD:
            self._left -= 1
            if is_late:
                self._stop(rest=0 if self.waits else _CONTROL)
            elif self.regret_s > self.budget_s or self._gains_nothing():
                self._fail()
            elif self._left <= 0:
                self.mode, self._left = Mode.CONTROL, _CONTROL
        elif self.mode is Mode.CONTROL:
            self._left -= 1
            if self._left <= 0:
                self._go_ahead()
        elif is_warm:
            self._go_ahead()

    def _gains_nothing(self) -> bool:
        if self._tried < _TRIED:
            return False
        gains = self._gain_s > _LEAST_GAIN * self._expected_s
        self._tried, self._gain_s, self._expected_s = 0, 0.0, 0.0
        if gains:
            self._failures = 0
        return not gains

    def _may_try(self) -> bool:
        """Whether running ahead could gain anything, and the account holds the cost of a trial."""
        plain = self._plain
        if not plain:
            return False
        if plain.waits:
            return self.regret_s <= self.budget_s
        busy = min(1.0, plain.cpu)
        if len(plain) < _LEAST_PLAIN or plain.calls_s * (1 - busy - _STOLEN) < self._machinery_s:
            return False
        slower_s = plain.seconds * busy if busy > self.idle_cpu else 0.0
        return self.regret_s + _TRIAL * (self._machinery_s + slower_s) <= self.budget_s

    def _go_ahead(self) -> None:
        self.mode = Mode.AHEAD
        self._left = self._random.randint(*(_LONG_GAPS if self.waits else _GAPS))

    def _fail(self) -> None:
        self._failures += 1
        self._stop(rest=min(_MOST_REST, _REST * 2 ** min(20, self._failures - 1)))

    def _stop(self, rest: int) -> None:
        self.mode, self._rest = Mode.PLAIN, rest
        self._tried, self._gain_s, self._expected_s = 0, 0.0, 0.0
