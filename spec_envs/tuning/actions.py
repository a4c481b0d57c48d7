"""The agent's actions: values of knobs as a mapping, as JSON text, or as coordinates in a box."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from spec_envs.brief import quoted
from spec_envs.checks import as_integer
from spec_envs.errors import InvalidAction
from spec_envs.json_files import parsed
from spec_envs.spaces import AnyText
from spec_envs.tuning.knobs import Knob, Setting, Value, defaults, setting_of

Action = Mapping[str, Any] | str | NDArray[np.floating[Any]]

ACTION_FORMATS = ("dict", "box", "json")

#: How far coordinates may lie outside of [-1, 1], because of rounding to float32.
_SLACK = 1e-6


def read_action(knobs: tuple[Knob, ...], action: object, current: Setting) -> Setting:
    """The setting that an action describes, with each value moved to its knob's grid.

    A mapping, or a JSON object as text, has values by the names of knobs; other knobs keep their ``current`` values. A
    choice is given by name, or by number in a mapping. Anything else is read as coordinates from -1 to 1, one for each
    knob.

    Raises:
        InvalidAction: ``action`` has another form, names an unknown knob, or has a value out of bounds.
    """
    if isinstance(action, str):
        called = parsed(action)
        if not isinstance(called, dict):
            raise InvalidAction(f"an action as text must be a JSON object of knobs and values, not {action[:200]!r}")
        return _updated(knobs, called, current)
    if isinstance(action, Mapping):
        return _updated(knobs, {name: _plain(value) for name, value in action.items()}, current, numbered=True)
    try:
        given = np.asarray(action, np.float64)
    except (TypeError, ValueError):
        given = np.empty(0)
    if given.shape != (len(knobs),):
        names = ", ".join(knob.name for knob in knobs)
        raise InvalidAction(
            f"an action must be a mapping of knobs ({names}) to values, such a mapping as JSON text, or an array of "
            f"{len(knobs)} coordinate(s) from -1 to 1, not {quoted(action)}"
        )
    inside = np.where(np.abs(given) <= 1.0 + _SLACK, np.clip(given, -1.0, 1.0), given)
    return tuple((knob.name, knob.decode(float(at))) for knob, at in zip(knobs, inside, strict=True))


def coordinates(knobs: tuple[Knob, ...], setting: Setting) -> NDArray[np.float32]:
    """A setting as coordinates from -1 to 1, one for each knob."""
    values = dict(setting)
    return np.array([knob.encode(values[knob.name]) for knob in knobs], np.float32)


def action_space(knobs: tuple[Knob, ...], kind: str) -> spaces.Space[Any]:
    """The space of actions of the ``kind`` "dict", "box" or "json"."""
    if kind == "box":
        return spaces.Box(-1.0, 1.0, (len(knobs),), np.float32)
    if kind == "json":
        return SettingText(knobs)
    return spaces.Dict({knob.name: _space_of(knob) for knob in knobs})


class SettingText(AnyText):
    """Settings as JSON text. ``sample()`` draws a value for every knob."""

    def __init__(self, knobs: tuple[Knob, ...]) -> None:
        super().__init__()
        self._knobs = knobs

    def contains(self, x: Any) -> bool:
        """Whether ``x`` can be read as an action."""
        try:
            return isinstance(x, str) and bool(read_action(self._knobs, x, defaults(self._knobs)))
        except InvalidAction:
            return False

    def _draw(self) -> str:
        return json.dumps({knob.name: knob.grid[self.np_random.integers(len(knob.grid))] for knob in self._knobs})


def _space_of(knob: Knob) -> spaces.Space[Any]:
    if knob.kind == "choice":
        return spaces.Discrete(len(knob.choices))
    if knob.kind == "int":
        return spaces.Discrete(round(knob.high - knob.low) + 1, start=round(knob.low))
    return spaces.Box(knob.low, knob.high, (), np.float64)


def _plain(value: Any) -> Any:
    """``value`` as a plain Python value, if it is a NumPy scalar or an array without dimensions."""
    return value.item() if isinstance(value, np.generic | np.ndarray) and np.ndim(value) == 0 else value


def _updated(knobs: tuple[Knob, ...], given: Mapping[Any, Any], current: Setting, *, numbered: bool = False) -> Setting:
    by_name = {knob.name: knob for knob in knobs}
    if unknown := [name for name in given if name not in by_name]:
        raise InvalidAction(f"there is no knob {unknown[0]!r}; the knobs are: {', '.join(by_name)}")
    values: dict[str, Value] = dict(current)
    for name, value in given.items():
        values[name] = _value(by_name[name], value, numbered)
    return setting_of(knobs, values)


def _value(knob: Knob, value: Any, numbered: bool) -> Value:
    index = as_integer(value) if knob.kind == "choice" else None
    if index is not None:
        if not numbered:  # a language model may write 4096 for the choice "4096"
            return knob.snap(str(index))
        if 0 <= index < len(knob.choices):
            return knob.choices[index]
    return knob.snap(value)
