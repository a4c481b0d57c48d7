"""``SpecTuning-v0``: the agent sets the knobs of a machine, or of a simulated one, and sees a workload's latencies."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from spec_envs.brief import brief
from spec_envs.call_env import CallEnv
from spec_envs.calls import Call
from spec_envs.checks import begun, boolean, can_render, check_under_way, choice, integer, read_options, render_mode_of
from spec_envs.errors import HandlerFailed, InvalidAction, InvalidConfiguration
from spec_envs.tuning.actions import ACTION_FORMATS, Action, action_space, read_action
from spec_envs.tuning.backends import make_backend
from spec_envs.tuning.backends.protocol import Backend
from spec_envs.tuning.knobs import Knob, Setting, defaults, finite
from spec_envs.tuning.measurement import METRICS, Measurement, MeasureQuery, Reward, Workload
from spec_envs.tuning.pictures import as_curves, as_lines
from spec_envs.tuning.report import Observation, Report, Trial, observation_space


@dataclasses.dataclass(frozen=True, slots=True)
class Episode:
    """The complete state of an episode, as an immutable value."""

    seed: int  # seed of the random parts of the measurements
    trials: tuple[Trial, ...]  # the last windows, oldest first
    measured: Measurement  # the last measurement
    reference: float | None = None  # the rewarded figure of the first valid window, if any

    @property
    def last(self) -> Trial:
        """The last window."""
        return self.trials[-1]


class TuningEnv(CallEnv[Observation, Action]):
    """The agent sets the knobs of a machine, or of a simulated one, and sees the latencies of a workload.

    ## Description
    A workload runs in windows of a second. Before each window the agent sets the knobs. Then the setting is applied,
    the workload settles, and its latencies are measured. These three are one call to the handler ``"measure"``. This
    handler is a *backend*: a simulation by default, or the real machine.

    ## Action Space
    Values for the knobs. Each value is moved to the nearest point of the knob's own grid. ``env.unwrapped.knobs`` are
    the knobs. ``action_format`` chooses the space:

    - "dict" (default): a ``Dict`` with a ``Box`` for each float knob, and a ``Discrete`` for each int knob and each
      choice, which is given by its number.
    - "box": a ``Box(-1, 1, (knobs,))`` of coordinates along the grids, logarithmic for logarithmic knobs.
    - "json": a JSON object as text, such as ``{"slice_ms": 3.2}``. A choice is given by its name.

    ``step`` reads all three, whatever ``action_format`` is. A mapping or a JSON object may leave out knobs, which then
    keep their values.

    ## Observation Space
    With ``observation="dict"`` (the default) a ``Dict`` of ``Box``:

    | key       | shape                      | value                                                                  |
    |-----------|----------------------------|------------------------------------------------------------------------|
    | `window`  | (1,)                       | number of the last window, from 0                                      |
    | `knobs`   | (knobs,)                   | the setting as coordinates                                             |
    | `metrics` | (8,)                       | p50, p95, p99, max, mean (ms), throughput (events/s), the workload's   |
    |           |                            | share of the cores' time, and whether the window is valid (0 or 1)     |
    | `history` | (``history``, knobs + 8)   | the last windows, oldest first, this one last; zeros before the first  |
    | `machine` | (3,)                       | load per core, memory in use (0 to 1), context switches per second     |

    With ``observation="box"`` one ``Box(-1, 1)``: the window's number (1: the last window), ``history`` and ``machine``
    in a row, scaled for a neural network. Times and rates are logarithms: -1, 0 and 1 stand for times of a microsecond,
    a millisecond and a second, for rates of 1, 1,000 and 1,000,000 a second, and for loads per core of 0.001, 1 and
    1,000. Shares from 0 to 1 become numbers from -1 to 1. Values beyond these limits are clipped. Rows before the first
    window are zeros.

    With ``observation="text"`` a ``Text``: a JSON object with the same content and a description of knobs, goal and
    units. ``spec_envs.tuning.Report.of(observation, knobs)`` reads ``Dict`` and ``Text``.

    ## Starting State
    ``reset`` measures window 0 under ``start``: values for some or all knobs (the other knobs have their defaults), or
    "random". ``reset(options={"start": …})`` sets the start of one episode.

    ## Rewards
    ``log(reference / p95)`` for each window, where ``reference`` is the ``p95`` of the first valid window. So bad
    settings cost reward. ``reward`` chooses another metric; for ``throughput`` more is better. For each metric in
    ``caps`` that exceeds its cap, ``log(metric / cap)`` is subtracted, since one percentile can be improved at the
    expense of the others. A window that is not valid has the reward 0.

    ## Episode End
    *Truncated* after ``windows`` windows, not counting that of ``reset``. An episode is never terminated.

    ## Info
    | key              | value                                                                                  |
    |------------------|----------------------------------------------------------------------------------------|
    | `window`         | number of the last window                                                              |
    | `knobs`          | the setting, a dict from knob to value                                                 |
    | `p50` … `valid`  | all metrics by name                                                                    |
    | `attempts`       | how often the window was measured until it was valid, or the backend gave up           |
    | `reference`      | the rewarded metric of the first valid window; None before that                        |
    | `best`           | the best known ``p95`` in ms; None if none is known                                    |
    | `regret`         | ``p95`` minus ``best`` in ms, without noise if the workload has a model; None          |
    |                  | if ``best`` is None                                                                    |

    ## Arguments
    - ``backend``: "simulated" (default), "eevdf", "sysbench", "sqlite", "sysctl", or a ``Backend``, which the
      environment does not close.
    - ``workload``: what runs, such as ``RoundRobin(9.5, tasks=4)`` or ``Surface(6)``; ``None`` (default) for the
      workload of the backend.
    - ``windows``: number of windows in an episode (default 20).
    - ``window_s``: length of a window in seconds (default 1.0), of which the first ``settle_s`` (default 0.1) do not
      count.
    - ``start``: the setting of window 0; see above.
    - ``reward``, ``caps``: see above.
    - ``history``: how many windows an observation holds (default 32).
    - ``action_format``: "dict" (default), "box" or "json".
    - ``observation``: "dict" (default), "box" or "text".
    - ``allow_system``: whether a backend may change settings that affect others on this machine (default ``False``).
    - ``render_mode``: ``None``, "ansi" (a line for each window) or "rgb_array" (curves; needs the extra ``plot``).

    ## Forking
    An episode is an immutable value, so forks share it; a fork takes some microseconds. Forks share the backend, too.
    Equal queries (workload, setting, seed and window) may share a measurement; different queries never do.

    ## Latency
    One call in each step and one in ``reset``: ``Call("measure", MeasureQuery(…), backend.effect)``. The effect is
    ``READ`` for the simulation, ``SAMPLE`` for private parts of the real machine, and ``WRITE`` for settings that
    affect others.

    ## Version History
    - v0: initial version.
    """

    trace_view = "curve"
    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 1}
    shared_on_fork: ClassVar[frozenset[str]] = frozenset(
        {"backend", "workload", "knobs", "episode", "_start", "_reward"}
    )

    def __init__(
        self,
        *,
        backend: str | Backend = "simulated",
        workload: Workload | None = None,
        windows: int = 20,
        window_s: float = 1.0,
        settle_s: float = 0.1,
        start: Mapping[str, Any] | str | None = None,
        reward: str = "p95",
        caps: Mapping[str, float] | None = None,
        history: int = 32,
        action_format: str = "dict",
        observation: str = "dict",
        allow_system: bool = False,
        render_mode: str | None = None,
    ) -> None:
        choice("action_format", action_format, ACTION_FORMATS)
        self._seen_as: str = choice("observation", observation, ("dict", "box", "text"))
        self._reward = Reward(reward, caps)
        self.render_mode = render_mode_of(self, render_mode)
        self._windows = integer("windows", windows, least=1)
        self._history = integer("history", history, least=1)
        settling, window = finite(settle_s), finite(window_s)
        if settling is None or window is None or not 0.0 <= settling < window:
            raise InvalidConfiguration(
                f"0 <= settle_s < window_s must hold, in seconds, not settle_s={settle_s!r}, window_s={window_s!r}"
            )
        self._window_s, self._settle_s = window_s, settle_s
        allow_system = boolean("allow_system", allow_system)
        made = make_backend(backend, workload=workload, allow_system=allow_system) if isinstance(backend, str) else None
        #: The handler that runs the workload.
        self.backend: Backend = made or _checked_backend(backend)
        super().__init__({"measure": self.backend}, owned=("measure",) if made else ())
        #: The workload that runs.
        self.workload: Workload = workload or self.backend.workload
        #: The knobs that the agent sets.
        self.knobs: tuple[Knob, ...] = _checked_knobs(self.workload)
        self._start = self._read_start(start)
        self.observation_space = observation_space(self.knobs, observation, self._history)
        self.action_space = action_space(self.knobs, action_format)
        #: The current episode, or the last one; ``None`` before the first ``reset``. Immutable.
        self.episode: Episode | None = None

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Measure the first window. ``options`` may hold ``start``, the setting of this window.

        Raises:
            InvalidConfiguration: An option is unknown, or ``start`` is not a setting.
            HandlerFailed: The setting could not be applied or measured.
        """
        self._check_open()
        given = read_options(options, ("start",))
        start = self._read_start(given["start"]) if given else self._start
        super().reset(seed=seed)
        episode_seed = int(self.np_random.integers(2**32))
        if start is None:
            points = [(knob, int(self.np_random.integers(len(knob.grid)))) for knob in self.knobs]
            start = tuple((knob.name, knob.grid[point]) for knob, point in points)
        measured = self._measure(start, episode_seed, 0, start)
        episode = Episode(episode_seed, (Trial(0, start, measured.metrics),), measured)
        self.episode = dataclasses.replace(episode, reference=self._reference(episode))
        return self._observation(self.episode), self._info(self.episode)

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Apply a setting and measure one window.

        Raises:
            InvalidAction: The action cannot be read, or a value is out of bounds. Nothing was changed.
            ResetNeeded: No episode is under way.
            HandlerFailed: The setting could not be applied or measured.
        """
        self._check_open()
        episode = begun(self.episode)
        check_under_way(f"{self._windows} windows" if episode.last.window >= self._windows else None)
        before = episode.last
        setting = read_action(self.knobs, action, before.knobs)
        measured = self._measure(setting, episode.seed, before.window + 1, before.knobs)
        trials = (*episode.trials, Trial(before.window + 1, setting, measured.metrics))[-self._history :]
        episode = dataclasses.replace(episode, trials=trials, measured=measured)
        self.episode = episode = dataclasses.replace(episode, reference=self._reference(episode))
        truncated = episode.last.window >= self._windows
        reward = self._reward.of(episode.last.metrics, episode.reference)
        return self._observation(episode), reward, False, truncated, self._info(episode)

    @property
    def report(self) -> Report:
        """The observation as a value.

        Raises:
            ResetNeeded: There is no episode before the first ``reset``.
        """
        return _report(begun(self.episode))

    def render(self) -> Any:
        """A line for each window if the render mode is "ansi"; an array of shape (480, 640, 3) if it is "rgb_array"."""
        if not can_render(self):
            return None
        draw = as_lines if self.render_mode == "ansi" else as_curves
        return draw(begun(self.episode).trials, self.knobs, self.backend.best(self.workload))

    def _measure(self, setting: Setting, seed: int, window: int, before: Setting) -> Measurement:
        previous = before if self.backend.carries_over else None
        query = MeasureQuery(self.workload, setting, seed, window, self._window_s, self._settle_s, previous)
        measured = self.ask(Call("measure", query, self.backend.effect, touches="machine"))
        if not isinstance(measured, Measurement):
            raise HandlerFailed(f"the backend must return a Measurement, not {measured!r:.200}")
        self._reward.check(measured.metrics)
        return measured

    def _read_start(self, start: Mapping[str, Any] | str | None) -> Setting | None:
        """The setting that ``start`` describes; ``None`` if it is random."""
        if start == "random":
            return None
        if start is not None and not isinstance(start, Mapping):
            raise InvalidConfiguration(f"start must be None, 'random' or a mapping of knobs to values, not {start!r}")
        try:
            return read_action(self.knobs, start or {}, defaults(self.knobs))
        except InvalidAction as error:
            raise InvalidConfiguration(f"start: {error}") from None

    def _reference(self, episode: Episode) -> float | None:
        if episode.reference is None and episode.last.metrics.valid:
            return self._reward.figure(episode.last.metrics)
        return episode.reference

    @staticmethod
    def brief(value: Any) -> str:
        """The last window, where ``value`` is an observation of arrays."""
        if isinstance(value, dict) and {"window", "metrics"} <= value.keys():
            p95, throughput = (float(value["metrics"][place]) for place in (1, 5))
            value = f"window {int(value['window'][0])}: {p95:.4g} ms (p95), {throughput:.4g} events/s"
        return brief(value)

    def _observation(self, episode: Episode) -> Observation:
        report = _report(episode)
        if self._seen_as == "text":
            return report.text(self.knobs, self.workload.name, self._reward.goal)
        if self._seen_as == "box":
            return report.box(self.knobs, self._history, self._windows)
        return report.arrays(self.knobs, self._history)

    def _info(self, episode: Episode) -> dict[str, Any]:
        last, measured = episode.last, episode.measured
        best = self.backend.best(self.workload)
        p95 = last.metrics.p95 if measured.expected is None else measured.expected
        return {
            "window": last.window,
            "knobs": dict(last.knobs),
            **{name: getattr(last.metrics, name) for name in METRICS},
            "attempts": measured.attempts,
            "reference": episode.reference,
            "best": best,
            "regret": None if best is None else p95 - best,
        }


def _report(episode: Episode) -> Report:
    return Report(episode.trials, episode.measured.machine)


def _checked_backend(backend: Any) -> Backend:
    needed = ("__call__", "workload", "effect", "max_inflight", "carries_over", "best", "close")
    if missing := [name for name in needed if not hasattr(backend, name)]:
        raise InvalidConfiguration(f"backend must be a name or a Backend, and {backend!r} has no {', '.join(missing)}")
    return backend  # type: ignore[no-any-return]


def _checked_knobs(workload: Workload) -> tuple[Knob, ...]:
    knobs = tuple(workload.knobs)
    if not knobs or len({knob.name for knob in knobs}) < len(knobs):
        raise InvalidConfiguration(
            f"{workload.name} must have at least one knob, and names must differ, not {[knob.name for knob in knobs]}"
        )
    return knobs
