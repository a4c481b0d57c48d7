"""The guard: runs ahead where that pays, and plainly where it does not, so that nobody loses by the wrapper.

It knows no handlers and no guessers, only what cycles take. It starts plainly. What cycles that run ahead take beyond
the mean of the last plain ones is *regret*; regret is paid from an account that grows with the time (``GRACE_S``, and a
share of the time or a little a step), less what the wrapper itself takes in plain steps. It runs ahead, at first to see
whether it pays, when the account holds what that may cost, and at once where calls are long and the CPU idles. It stops
where the account is empty or nothing is gained, and comes back more rarely after each failure. Now and then it runs a
few cycles plainly, at places drawn beforehand, to go on knowing what a plain cycle takes.

Pure: no clock; cycles are given as data.
"""

import dataclasses
import enum
import random

from spec_envs.wrappers.speculation.timing.cycles import IDLE_CPU, Cycle, Window

#: The account: what may be lost at once, and beyond that as a share of the time or for each step, whichever is more.
GRACE_S, SHARE, STEP_S = 5e-3, 0.035, 80e-6
#: The share of the time that the CPU may seem to idle, where other programs take it, though it is busy all the time.
_STOLEN = 0.1

#: The number of the last plain cycles with which cycles ahead are compared.
_MEMORY = 40
#: Plain cycles that are needed before anything is tried, where calls are short.
_LEAST_PLAIN = 4
#: A trial may cost this many cycles' worth of machinery, and of slower calls where the CPU is busy.
_TRIAL = 2
#: What running ahead costs in a cycle, before it is known; and how much a new cycle counts against what is known.
_MACHINERY_S, _NEW = 2e-3, 0.2
#: The guard stops after this number of cycles ahead without a gain of ``_LEAST_GAIN``.
_TRIED, _LEAST_GAIN = 40, 0.01
#: Plain cycles after the first failure, twice as many after each further one.
_REST, _MOST_REST = 40, 10_000
#: Cycles ahead until the first control, where all that is known is from an earlier wrapper.
_RECALLED = 5
#: Cycles between two controls: from, to; in a control the first cycle does not count.
_GAPS, _LONG_GAPS, _CONTROL = (30, 90), (60, 140), 3


class Mode(enum.Enum):
    """What the next cycle is for."""

    PLAIN = "plain"
    WARMING = "warming"  # plainly; guessers and threads get ready beside it
    AHEAD = "ahead"
    CONTROL = "control"  # plainly, to know what a plain cycle takes


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """What outlives a wrapper: how its last plain cycles were, and how running ahead went.

    Args:
        plain_s: Mean time of a plain cycle.
        calls_s: Its part in calls.
        call_s: Mean time of one of them.
        cpu: How much the process computed meanwhile, as a share of the time.
        machinery_s: What running ahead costs in a cycle.
        pays: Whether the guard let calls be made ahead at the end.
        failures: How often it had to stop.
    """

    plain_s: float
    calls_s: float
    call_s: float
    cpu: float
    machinery_s: float
    pays: bool
    failures: int


class Guard:
    """Decides cycle by cycle.

    Args:
        seed: Of the places of control cycles.
        record: What is known from earlier.
        idle_cpu: The share of the time that the process may compute while its CPU counts as idle.

    Attributes:
        mode: What the cycle under way is for.
        idle_cpu: See the arguments.
        regret_s: What was lost and not won back.
    """

    def __init__(self, *, seed: int = 0, record: Record | None = None, idle_cpu: float = IDLE_CPU) -> None:
        self.mode = Mode.PLAIN
        self.regret_s = 0.0
        self._random = random.Random(seed)
        self.idle_cpu = idle_cpu
        self._plain = Window(_MEMORY, idle_cpu)
        self._elapsed_s, self._steps, self._own_s = 0.0, 0, 0.0
        self._failures, self._rest, self._left = 0, 0, 0
        self._machinery_s = _MACHINERY_S
        self._tried, self._gain_s, self._expected_s = 0, 0.0, 0.0
        self._is_recalled = False
        if record is not None:
            self._recall(record)

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
        """What a later wrapper may start from; ``None`` while nothing is known."""
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
        """What may be lost by now."""
        return max(0.0, GRACE_S + max(SHARE * self._elapsed_s, STEP_S * self._steps) - self._own_s)

    @property
    def waits(self) -> bool:
        """Whether plain cycles wait for long calls with the CPU idle."""
        return self._plain.waits

    def _expected(self, cycle: Cycle) -> float:
        """What ``cycle`` would have taken plainly; long calls vary, and are their own best measure."""
        if not self.waits:
            return self._plain.seconds
        return cycle.calls_s + self._plain.local_s

    # -- what happens --------------------------------------------------------------------------------------------

    def ended(self, cycle: Cycle, *, is_warm: bool = True, is_late: bool = False) -> None:
        """A cycle has ended; ``mode`` is now that of the next one.

        Args:
            cycle: The cycle.
            is_warm: Whether guessers and threads are ready.
            is_late: Whether the event loop comes late to what is due, so that speculation has to give way.
        """
        self._elapsed_s += cycle.seconds * cycle.steps
        self._steps += cycle.steps
        if cycle.settled and not cycle.ahead and self.mode is not Mode.WARMING:
            if self._is_recalled:  # what was known of another wrapper may not hold here
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
        # Much of what plain steps cost here is what they cost at all: so the first question is the quickest one.
        if self._rest < 0 and cycle.calls_s >= self._machinery_s and not is_late and self._may_try():
            self.mode = Mode.WARMING
            if self.waits:
                self._go_ahead()  # what is not ready yet gets ready beside the first call

    def lost(self, seconds: float) -> None:
        """Running ahead has lost ``seconds``, or won, where that is negative."""
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
        """Whether running ahead could gain anything, and the account holds what trying it may cost."""
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
