"""What an agent sees of an episode: the last windows, as arrays, as one array, or as text."""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from spec_envs.errors import InvalidConfiguration
from spec_envs.spaces import AnyText
from spec_envs.tuning.actions import coordinates
from spec_envs.tuning.knobs import Knob, Setting, setting_of
from spec_envs.tuning.measurement import METRICS, Machine, Metrics

Observation = dict[str, Any] | str | NDArray[np.float32]

#: Upper bound of the figures in arrays; as a latency in ms it is eleven days. Gymnasium warns of unbounded boxes.
_MOST = 1e9
_MACHINE = tuple(field.name for field in dataclasses.fields(Machine))


@dataclasses.dataclass(frozen=True, slots=True)
class Trial:
    """One window: its number, the setting, and the figures that were measured."""

    window: int
    knobs: Setting
    metrics: Metrics


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """An observation as a value.

    Attributes:
        trials: The last windows, oldest first; at least one.
        machine: The state of the machine during the last window.
    """

    trials: tuple[Trial, ...]
    machine: Machine = Machine()

    @property
    def last(self) -> Trial:
        """The last window."""
        return self.trials[-1]

    @classmethod
    def of(cls, observation: Any, knobs: tuple[Knob, ...]) -> Self:
        """The value of an observation of arrays or text; ``knobs`` are the knobs of the environment.

        Raises:
            InvalidConfiguration: The observation is a box, in which figures are scaled and rounded.
        """
        if isinstance(observation, np.ndarray):
            raise InvalidConfiguration('a box cannot be read exactly; make the environment with observation="dict"')
        return cls._of_text(observation, knobs) if isinstance(observation, str) else cls._of_arrays(observation, knobs)

    def arrays(self, knobs: tuple[Knob, ...], length: int) -> dict[str, Any]:
        """The observation as arrays, with ``length`` rows of history."""
        rows = [np.concatenate((coordinates(knobs, trial.knobs), _row(trial.metrics))) for trial in self.trials]
        history = np.zeros((length, len(knobs) + len(METRICS)), np.float32)
        history[length - len(rows) :] = rows
        return {
            "window": np.array([self.last.window], np.int64),
            "knobs": coordinates(knobs, self.last.knobs),
            "metrics": _row(self.last.metrics),
            "history": history,
            "machine": np.minimum([getattr(self.machine, name) for name in _MACHINE], _MOST).astype(np.float32),
        }

    def box(self, knobs: tuple[Knob, ...], length: int, windows: int) -> NDArray[np.float32]:
        """The observation as one array of numbers from -1 to 1, with ``length`` rows of history; see ``TuningEnv``.

        Times and rates are on a logarithmic scale: a tenth more or less is the same step everywhere.
        """
        history = np.zeros((length, len(knobs) + len(METRICS)))
        rows = [np.concatenate((coordinates(knobs, trial.knobs), _scaled(trial.metrics))) for trial in self.trials]
        history[length - len(rows) :] = rows
        machine = (_rate(self.machine.load * 1e3), 2 * self.machine.memory - 1, _rate(self.machine.context_switches))
        progress = 2 * self.last.window / windows - 1
        return np.clip(np.concatenate(((progress,), history.ravel(), machine)), -1, 1).astype(np.float32)

    def text(self, knobs: tuple[Knob, ...], workload: str, goal: str) -> str:
        """The observation as JSON text that also describes workload, goal, units and knobs."""
        report = {
            "workload": workload,
            "goal": goal,
            "units": "latencies (p50, p95, p99, max, mean) in ms, throughput in events/s, cpu_share and memory from "
            "0 to 1, load per core, context_switches per second",
            "knobs": {knob.name: _described(knob) for knob in knobs},
            "windows": [
                {"window": trial.window, "knobs": dict(trial.knobs), **_rounded(trial.metrics)} for trial in self.trials
            ],
            "machine": _rounded(self.machine),
        }
        return json.dumps(report)

    @classmethod
    def _of_text(cls, text: str, knobs: tuple[Knob, ...]) -> Self:
        report = json.loads(text)
        trials = tuple(
            Trial(row["window"], setting_of(knobs, row["knobs"]), Metrics(**{name: row[name] for name in METRICS}))
            for row in report["windows"]
        )
        return cls(trials, Machine(**report["machine"]))

    @classmethod
    def _of_arrays(cls, arrays: Mapping[str, Any], knobs: tuple[Knob, ...]) -> Self:
        last = int(arrays["window"][0])
        rows = arrays["history"][-(last + 1) :]
        trials = []
        for window, row in enumerate(rows, start=last + 1 - len(rows)):
            setting = tuple((knob.name, knob.decode(float(at))) for knob, at in zip(knobs, row, strict=False))
            figures: dict[str, Any] = {
                name: float(figure) for name, figure in zip(METRICS, row[len(knobs) :], strict=True)
            }
            trials.append(Trial(window, setting, Metrics(**figures | {"valid": bool(figures["valid"])})))
        return cls(tuple(trials), Machine(*(float(figure) for figure in arrays["machine"])))


def observation_space(knobs: tuple[Knob, ...], kind: str, length: int) -> spaces.Space[Any]:
    """The space of observations of the ``kind`` "dict", "box" or "text"."""
    if kind == "text":
        return AnyText()
    columns = len(knobs) + len(METRICS)
    if kind == "box":
        return spaces.Box(-1.0, 1.0, (1 + length * columns + len(_MACHINE),), np.float32)
    least = np.concatenate((np.full(len(knobs), -1), np.zeros(len(METRICS)))).astype(np.float32)
    most = np.concatenate((np.full(len(knobs), 1), np.full(len(METRICS), _MOST))).astype(np.float32)
    return spaces.Dict(
        {
            "window": spaces.Box(0, np.iinfo(np.int64).max, (1,), np.int64),
            "knobs": spaces.Box(-1, 1, (len(knobs),), np.float32),
            "metrics": spaces.Box(0, _MOST, (len(METRICS),), np.float32),
            "history": spaces.Box(
                np.tile(least, (length, 1)), np.tile(most, (length, 1)), (length, columns), np.float32
            ),
            "machine": spaces.Box(0, _MOST, (len(_MACHINE),), np.float32),
        }
    )


def _row(metrics: Metrics) -> Any:
    return np.minimum([getattr(metrics, name) for name in METRICS], _MOST).astype(np.float32)


def _scaled(metrics: Metrics) -> list[float]:
    """The figures of a window from -1 to 1, in the order of ``METRICS``."""
    times = (metrics.p50, metrics.p95, metrics.p99, metrics.max, metrics.mean)
    shares = (metrics.cpu_share, float(metrics.valid))
    return [*(_rate(time * 1e3) for time in times), _rate(metrics.throughput), *(2 * share - 1 for share in shares)]


def _rate(figure: float) -> float:
    """0 for a thousand, and 1 for a million: microseconds of a millisecond and a second, or events per second."""
    return math.log10(max(figure, 1.0)) / 3 - 1


def _rounded(figures: Metrics | Machine) -> dict[str, float | bool]:
    """The figures with six significant digits, to keep the text short."""
    return {
        name: value if isinstance(value, bool) else float(f"{value:.6g}")
        for name, value in dataclasses.asdict(figures).items()
    }


def _described(knob: Knob) -> dict[str, Any]:
    if knob.kind == "choice":
        return {"choices": list(knob.choices)}
    scale = {"kind": knob.kind, "low": knob.low, "high": knob.high, "scale": "log" if knob.log else "linear"}
    return scale | ({"unit": knob.unit} if knob.unit else {})
