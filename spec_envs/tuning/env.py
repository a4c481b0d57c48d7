"""``SpecTuning-v0``: the agent sets the knobs of a machine, or of a model of one, and sees how a workload does."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import gymnasium as gym

from spec_envs.call_env import CallEnv
from spec_envs.calls import Call
from spec_envs.errors import HandlerFailed, InvalidAction, InvalidConfiguration, ResetNeeded
from spec_envs.tuning.actions import ACTION_FORMATS, Action, action_space, read_action
from spec_envs.tuning.backends.by_name import make_backend
from spec_envs.tuning.knobs import finite
from spec_envs.tuning.measurement import METRICS, Backend, Measurement, MeasureQuery, Metrics, Workload
from spec_envs.tuning.report import Observation, Report, Trial, observation_space

if TYPE_CHECKING:
    from spec_envs.tuning.knobs import Knob, Setting

#: What the reward can be about, and whether less is better.
_REWARDS = {name: name != "throughput" for name in ("p50", "p95", "p99", "max", "mean", "throughput")}


@dataclasses.dataclass(frozen=True, slots=True)
class Episode:
    """All of an episode, as an immutable value.

    Attributes:
        seed: Of what is random in the measurements.
        trials: The last windows, oldest first.
        measured: The last measurement.
        reference: The rewarded figure of the first window that was valid; ``None`` as long as there is none.
    """

    seed: int
    trials: tuple[Trial, ...]
    measured: Measurement
    reference: float | None = None

    @property
    def last(self) -> Trial:
        """The last window."""
        return self.trials[-1]


class TuningEnv(CallEnv[Observation, Action]):
    """The agent sets the knobs of a machine, or of a model of one, and sees how a workload does.

    ## Description
    A workload runs in windows of a second. Before each the agent sets the knobs; then the setting is applied, the
    workload settles, and its latencies are measured. Applying, settling and measuring are one call of the handler
    ``"measure"``, which a *backend* is: a model by default, or the real machine.

    ## Action Space
    Values for the knobs; each is moved to the nearest point of the knob's own grid. With ``action_format="dict"`` (the
    default) a ``Dict`` of a ``Box`` (float), a ``Discrete`` (int; choice, by number) for each knob. With "box" a
    ``Box(-1, 1, (knobs,))`` of coordinates along the grids: logarithmic where the knob is. With "json" a JSON object as
    text, ``{"slice_ms": 3.2}``, a choice by name. Whatever the format, ``step`` reads all three, and mappings and JSON
    may leave out knobs, which then keep their values. ``env.unwrapped.knobs`` are the knobs.

    ## Observation Space
    With ``observation="dict"`` (the default) a ``Dict`` of ``Box``:

    | key       | shape                      | value                                                                  |
    |-----------|----------------------------|------------------------------------------------------------------------|
    | `window`  | (1,)                       | number of the last window, from 0                                      |
    | `knobs`   | (knobs,)                   | the setting as coordinates                                             |
    | `metrics` | (8,)                       | p50, p95, p99, max, mean (ms), throughput (events/s), own share of the |
    |           |                            | cores' time, and whether the window is valid (0 or 1)                  |
    | `history` | (``history``, knobs + 8)   | the last windows, oldest first, this one last; zeros before the first  |
    | `machine` | (3,)                       | load per core, memory in use (0 to 1), context switches per second     |

    With ``observation="text"`` a ``Text``: the same as a JSON object that names and describes knobs, goal and units.
    ``spec_envs.tuning.report.Report.of(observation, knobs)`` reads both.

    ## Starting State
    ``reset`` measures window 0 under ``start``: a value for some or all knobs (their defaults for the rest), or
    "random". ``reset(options={"start": …})`` is for one episode.

    ## Rewards
    For each window ``log(reference / p95)``, where the reference is the ``p95`` of the first valid window; so bad
    settings tried on the way cost. ``reward`` takes another metric; for ``throughput`` more is better. For each metric
    in ``caps`` that lies above its cap, ``log(metric / cap)`` is taken off, since one percentile alone can be had at
    the others' cost. A window that is not valid says nothing, and gets 0.

    ## Episode End
    *Truncated* after ``windows`` windows, the first one of ``reset`` not counted. Tuning has no other end.

    ## Info
    | key              | value                                                                                  |
    |------------------|----------------------------------------------------------------------------------------|
    | `window`         | number of the last window                                                              |
    | `knobs`          | the setting, by knob                                                                   |
    | `p50` … `valid`  | all metrics by name                                                                    |
    | `attempts`       | how often the window was measured until it was valid, or was given up                  |
    | `reference`      | what the reward relates to (None before the first valid window)                        |
    | `best`           | the best ``p95`` known in ms; None where none is known                                  |
    | `regret`         | ``p95`` less ``best`` in ms; of the ``p95`` without noise where a model tells it        |

    ## Arguments
    - ``backend``: "simulated" (default), or a ``Backend``, which stays yours to close.
    - ``workload``: what runs, such as ``RoundRobin(9.5, tasks=4)`` or ``Surface(6)``; ``None`` (default) for the
      backend's own.
    - ``windows``: windows of an episode (default 20). ``window_s``: length of one in seconds (default 1.0), of which
      the first ``settle_s`` (default 0.1) do not count.
    - ``start``: where an episode starts; see above.
    - ``reward``, ``caps``: see above.
    - ``history``: how many windows an observation holds (default 32).
    - ``action_format``: "dict" (default), "box" or "json". ``observation``: "dict" (default) or "text".
    - ``allow_system``: whether backends may set what others on this machine see too (default ``False``).
    - ``render_mode``: ``None``, "ansi" (a line for each window) or "rgb_array" (curves; needs the extra ``plot``).

    ## Forking
    An episode is an immutable value; a fork shares it, in some microseconds. The backend is shared. A measurement is
    never shared unless its query is equal: workload, setting, seed and window.

    ## Latency
    One call a step, and one in ``reset``: ``Call("measure", MeasureQuery(…), backend.effect)``. The simulator's calls
    are ``READ``, those on private parts of the real machine ``SAMPLE``, those that set what others see too ``WRITE``.

    ## Version History
    - v0: initial version.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "rgb_array"], "render_fps": 1}
    shared_on_fork: ClassVar[frozenset[str]] = frozenset({"backend", "workload", "knobs", "episode", "_start", "_caps"})

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
        _check_choice("action_format", action_format, ACTION_FORMATS)
        _check_choice("observation", observation, ("dict", "text"))
        _check_choice("reward", reward, tuple(_REWARDS))
        _check_choice("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        _check_counts(windows=windows, history=history)
        settling, window = finite(settle_s), finite(window_s)
        if settling is None or window is None or not 0.0 <= settling < window:
            raise InvalidConfiguration(
                f"0 <= settle_s < window_s must hold, in seconds, not settle_s={settle_s!r}, window_s={window_s!r}"
            )
        self._caps = _read_caps(caps)
        made = make_backend(backend, workload=workload, allow_system=allow_system) if isinstance(backend, str) else None
        #: Where the workload runs.
        self.backend: Backend = made or _checked_backend(backend)
        super().__init__({"measure": self.backend}, owned=("measure",) if made else ())
        #: What runs.
        self.workload: Workload = workload or self.backend.workload
        #: What can be set.
        self.knobs: tuple[Knob, ...] = _checked_knobs(self.workload)
        self._windows, self._window_s, self._settle_s = windows, window_s, settle_s
        self._start = self._read_start(start)
        self._reward_name = reward
        self._history = history
        self._as_text = observation == "text"
        self.render_mode = render_mode
        self.observation_space = observation_space(self.knobs, observation, history)
        self.action_space = action_space(self.knobs, action_format)
        #: The episode so far; ``None`` before the first ``reset``. Immutable.
        self.episode: Episode | None = None

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Measure the first window; ``options`` may hold ``start``, for this episode.

        Raises:
            InvalidConfiguration: An option is unknown or makes no sense.
            HandlerFailed: The setting could not be applied or measured.
        """
        self._check_open()
        if unknown := set(options or ()) - {"start"}:
            raise InvalidConfiguration(f"options of reset() may hold 'start', not {sorted(map(str, unknown))}")
        start = self._read_start(options["start"]) if options else self._start
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
            InvalidAction: The action cannot be read, or a value is out of bounds; nothing was changed.
            ResetNeeded: No episode is under way.
            HandlerFailed: The setting could not be applied or measured.
        """
        episode = self._under_way()
        before = episode.last
        setting = read_action(self.knobs, action, before.knobs)
        measured = self._measure(setting, episode.seed, before.window + 1, before.knobs)
        trials = (*episode.trials, Trial(before.window + 1, setting, measured.metrics))[-self._history :]
        episode = dataclasses.replace(episode, trials=trials, measured=measured)
        self.episode = episode = dataclasses.replace(episode, reference=self._reference(episode))
        truncated = episode.last.window >= self._windows
        return self._observation(episode), self._reward(episode), False, truncated, self._info(episode)

    @property
    def report(self) -> Report:
        """What the agent sees, as a value.

        Raises:
            ResetNeeded: Before the first ``reset``.
        """
        return self._report(self._episode())

    def render(self) -> Any:
        """A line for each window for "ansi", an array of shape (480, 640, 3) for "rgb_array"."""
        if self.render_mode is None:
            gym.logger.warn('TuningEnv was made without a render_mode; give render_mode="ansi" or "rgb_array"')
            return None
        from spec_envs.tuning import render  # late: only who draws needs it

        draw = render.text if self.render_mode == "ansi" else render.picture
        return draw(self._episode().trials, self.knobs, self.backend.best(self.workload))

    def _measure(self, setting: Setting, seed: int, window: int, before: Setting) -> Measurement:
        previous = before if self.backend.carries_over else None
        query = MeasureQuery(self.workload, setting, seed, window, self._window_s, self._settle_s, previous)
        measured = self.ask(Call("measure", query, self.backend.effect, touches="machine"))
        if not isinstance(measured, Measurement):
            raise HandlerFailed(f"the backend must return a Measurement, not {measured!r:.200}")
        self._check_metrics(measured.metrics)
        return measured

    def _check_metrics(self, metrics: Metrics) -> None:
        """See that there is a reward for them, and that the observation is in its space."""
        figures = [finite(float(getattr(metrics, name))) for name in METRICS]
        rewarded = getattr(metrics, self._reward_name)
        if any(figure is None or figure < 0 for figure in figures) or (metrics.valid and rewarded <= 0):
            raise HandlerFailed(
                f"metrics are finite and not below 0, and {self._reward_name!r}, which the reward is about, lies "
                f"above 0 in a window that is valid; the backend has measured {metrics!r}"
            )

    def _read_start(self, start: Mapping[str, Any] | str | None) -> Setting | None:
        """The setting, ``None`` for a random one."""
        if start == "random":
            return None
        if start is not None and not isinstance(start, Mapping):
            raise InvalidConfiguration(f"start must be None, 'random' or a mapping of knobs to values, not {start!r}")
        defaults: Setting = tuple((knob.name, knob.start) for knob in self.knobs)
        try:
            return read_action(self.knobs, start or {}, defaults)
        except InvalidAction as error:
            raise InvalidConfiguration(f"start: {error}") from None

    def _episode(self) -> Episode:
        if self.episode is None:
            raise ResetNeeded("nothing was measured yet; call reset() first")
        return self.episode

    def _under_way(self) -> Episode:
        self._check_open()
        episode = self._episode()
        if episode.last.window >= self._windows:
            raise ResetNeeded(f"the episode is over after {self._windows} windows; call reset() for a new one")
        return episode

    def _reference(self, episode: Episode) -> float | None:
        if episode.reference is None and episode.last.metrics.valid:
            return float(getattr(episode.last.metrics, self._reward_name))
        return episode.reference

    def _reward(self, episode: Episode) -> float:
        metrics, name = episode.last.metrics, self._reward_name
        if episode.reference is None or not metrics.valid:
            return 0.0
        reward = math.log(episode.reference / getattr(metrics, name)) * (1.0 if _REWARDS[name] else -1.0)
        return reward - sum(math.log(max(getattr(metrics, capped), cap) / cap) for capped, cap in self._caps.items())

    def _report(self, episode: Episode) -> Report:
        return Report(episode.trials, episode.measured.machine)

    def _observation(self, episode: Episode) -> Observation:
        report = self._report(episode)
        if not self._as_text:
            return report.arrays(self.knobs, self._history)
        goal = f"{'lower' if _REWARDS[self._reward_name] else 'raise'} {self._reward_name}"
        limits = "".join(f", with {name} at most {cap:g}" for name, cap in self._caps.items())
        return report.text(self.knobs, self.workload.name, goal + limits)

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


def _check_choice(name: str, value: object, choices: tuple[Any, ...]) -> None:
    if value not in choices:
        raise InvalidConfiguration(f"{name} must be {' or '.join(map(repr, choices))}, not {value!r}")


def _check_counts(**arguments: object) -> None:
    for name, value in arguments.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InvalidConfiguration(f"{name} must be an integer of at least 1, not {value!r}")


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


def _read_caps(caps: Mapping[str, float] | None) -> dict[str, float]:
    if caps is not None and not isinstance(caps, Mapping):
        raise InvalidConfiguration(f"caps must be a mapping of metrics to limits, not {caps!r}")
    limits = dict(caps or {})
    for name, cap in limits.items():
        if not _REWARDS.get(name, False) or (finite(cap) or 0.0) <= 0:
            known = ", ".join(metric for metric, less in _REWARDS.items() if less)
            raise InvalidConfiguration(f"caps holds limits above 0 ms for {known}, not {name!r}: {cap!r}")
    return limits
