"""Knobs: what an agent may set, with bounds and a grid of values."""

import bisect
import dataclasses
import functools
import math
import numbers
from collections.abc import Callable, Iterable
from typing import Any, Literal

from spec_envs.brief import quoted
from spec_envs.checks import as_integer
from spec_envs.errors import InvalidAction, InvalidConfiguration

Value = float | int | str
#: A value for every knob: pairs of name and value, in the order of the knobs.
Setting = tuple[tuple[str, Value], ...]

#: The default number of points of a grid: three decades with 20 points each, as in the series R20.
_STEPS = 61


@dataclasses.dataclass(frozen=True, slots=True)
class Knob:
    """Something that can be set. Every value lies on the knob's own grid, so settings can be compared for equality.

    Args:
        name: The name in actions and observations.
        kind: "float", "int" or "choice".
        low: The least value of a "float" or an "int", for which it must be whole.
        high: The greatest value of a "float" or an "int", for which it must be whole.
        log: Whether the points of the grid are evenly spaced on a logarithmic scale. The points of a "float", except
            the ends, then have two significant digits.
        default: The value at the start of an episode, moved to the nearest point; ``None`` for the middle of the grid.
        steps: The greatest number of points of the grid. There are fewer if several round to the same value.
        choices: The values of a "choice", in a meaningful order.
        unit: The unit, for people and language models.
        apply: Sets the value on a live system, for ``LiveBackend``.
        read: Returns the current value of the live system, for ``LiveBackend``, which compares it with the value set.

    Raises:
        InvalidConfiguration: The bounds, the default, the choices or the number of steps are invalid.
    """

    name: str
    kind: Literal["float", "int", "choice"] = "float"
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    default: Value | None = None
    steps: int = _STEPS
    choices: tuple[str, ...] = ()
    unit: str = ""
    apply: Callable[[Any], None] | None = dataclasses.field(default=None, compare=False, repr=False)
    read: Callable[[], Any] | None = dataclasses.field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(self.choices))  # a list cannot be part of a query
        if self.kind == "choice":
            self._check_choices()
        else:
            self._check_scale()
        try:
            start = self.grid[len(self.grid) // 2] if self.default is None else self.snap(self.default)
        except InvalidAction as error:
            raise InvalidConfiguration(f"the default does not fit: {error}") from None
        object.__setattr__(self, "default", start)

    @property
    def start(self) -> Value:
        """The default value, a point of the grid."""
        assert self.default is not None
        return self.default

    @property
    def grid(self) -> tuple[Value, ...]:
        """All values that the knob can have: numbers ascending, choices in their order."""
        if self.kind == "choice":
            return self.choices
        return _grid(self.kind, self.low, self.high, self.log, self.steps)

    def snap(self, value: object) -> Value:
        """The point of the grid that is nearest to ``value`` on the knob's scale.

        Raises:
            InvalidAction: ``value`` is not a number from ``low`` to ``high``, or not one of the choices.
        """
        if self.kind == "choice":
            if isinstance(value, str) and value in self.choices:
                return str(value)
            raise InvalidAction(f"{self.name} must be one of {', '.join(self.choices)}, not {quoted(value)}")
        number = finite(value)
        if number is None or not self.low <= number <= self.high:
            bounds = f"from {self.low:g} to {self.high:g} {self.unit}".rstrip()
            raise InvalidAction(f"{self.name} must be a number {bounds}, not {quoted(value)}")
        grid = _grid(self.kind, self.low, self.high, self.log, self.steps)
        place = bisect.bisect_left(grid, number)
        at = self._scaled(number)
        return min(grid[max(0, place - 1) : place + 1], key=lambda point: abs(self._scaled(point) - at))

    def encode(self, value: Value) -> float:
        """``value``, a point of the grid, as a coordinate from -1 (first point) to 1 (last point)."""
        return 2.0 * self.grid.index(value) / (len(self.grid) - 1) - 1.0

    def decode(self, coordinate: float) -> Value:
        """The point of the grid that is nearest to a coordinate from -1 to 1.

        Raises:
            InvalidAction: The coordinate lies outside of [-1, 1].
        """
        if not -1.0 <= coordinate <= 1.0:
            raise InvalidAction(f"the coordinate of {self.name} must lie between -1 and 1, not {coordinate!r}")
        grid = self.grid
        return grid[round((coordinate + 1.0) / 2.0 * (len(grid) - 1))]

    def _check_choices(self) -> None:
        different = len(set(self.choices)) == len(self.choices)
        if not different or len(self.choices) < 2 or not all(isinstance(choice, str) for choice in self.choices):
            raise InvalidConfiguration(
                f"{self.name} needs at least two choices, all different texts, not {self.choices!r}"
            )

    def _check_scale(self) -> None:
        low, high = finite(self.low), finite(self.high)
        if self.kind not in ("float", "int"):
            raise InvalidConfiguration(f"{self.name}: kind must be 'float', 'int' or 'choice', not {self.kind!r}")
        if low is None or high is None or not low < high:
            raise InvalidConfiguration(f"{self.name}: low must lie below high, not {self.low!r} and {self.high!r}")
        if self.kind == "int" and not (low.is_integer() and high.is_integer()):
            raise InvalidConfiguration(f"{self.name}: an 'int' needs whole bounds, not {self.low!r} and {self.high!r}")
        if self.log and low <= 0:
            raise InvalidConfiguration(f"{self.name}: a logarithmic scale begins above 0, not at {self.low!r}")
        steps = as_integer(self.steps)
        if steps is None or steps < 2:
            raise InvalidConfiguration(f"{self.name}: steps must be an integer of at least 2, not {self.steps!r}")
        for name, value in (("low", low), ("high", high), ("steps", steps)):
            if type(getattr(self, name)) not in (int, float):  # np.uint8(200), say, whose double is 144
                object.__setattr__(self, name, value)

    def _scaled(self, number: float) -> float:
        return math.log(number) if self.log else number


def defaults(knobs: Iterable[Knob]) -> Setting:
    """The setting in which each knob has its default."""
    return tuple((knob.name, knob.start) for knob in knobs)


def setting_of(knobs: Iterable[Knob], values: dict[str, Value]) -> Setting:
    """The setting with these values, in the order of the knobs."""
    return tuple((knob.name, values[knob.name]) for knob in knobs)


def finite(value: object) -> float | None:
    """``value`` as a float; ``None`` if it is not a number, not finite, or too large for a float."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    try:
        number = float(value)
    except OverflowError:  # a language model may write an integer of any length
        return None
    return number if math.isfinite(number) else None


@functools.lru_cache(maxsize=1024)
def _grid(kind: str, low: float, high: float, log: bool, steps: int) -> tuple[float, ...]:
    shares = [step / (steps - 1) for step in range(1, steps - 1)]
    between = [low * (high / low) ** share if log else low + (high - low) * share for share in shares]
    if kind == "int":
        rounded: Iterable[float] = (round(point) for point in (low, *between, high))
    else:
        digits = 1 if log else 9  # significant digits after the first
        rounded = (float(low), *(float(f"{point:.{digits}e}") for point in between), float(high))
    return tuple(sorted({point for point in rounded if low <= point <= high}))
