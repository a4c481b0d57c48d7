"""A report as text and as a picture."""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spec_envs.extras import needed
from spec_envs.tuning.knobs import Knob
from spec_envs.tuning.report import Trial

#: The legend is outside, above the curves, since the curves may be anywhere.
_LEGEND: dict[str, Any] = {
    "fontsize": "small",
    "loc": "lower left",
    "bbox_to_anchor": (0, 1),
    "borderaxespad": 0,
    "frameon": False,
}


def as_lines(trials: Sequence[Trial], knobs: Sequence[Knob], best: float | None) -> str:
    """A line for each window: number, percentiles in ms, setting; ``!`` marks windows that are not valid."""
    lines = [f"{'window':>6} {'p50':>9} {'p95':>9} {'p99':>9} {'max':>9}  knobs"]
    for trial in trials:
        metrics = trial.metrics
        figures = " ".join(f"{figure:9.3f}" for figure in (metrics.p50, metrics.p95, metrics.p99, metrics.max))
        setting = " ".join(f"{name}={value}" for name, value in trial.knobs)
        lines.append(f"{trial.window:6} {figures} {' ' if metrics.valid else '!'}{setting}")
    if best is not None:
        lines.append(f"best known p95: {best:.3f} ms")
    return "\n".join(lines)


def as_curves(trials: Sequence[Trial], knobs: Sequence[Knob], best: float | None) -> NDArray[np.uint8]:
    """A picture of shape (480, 640, 3): above the latencies, below the position of each knob on its grid, by window."""
    with needed('render_mode "rgb_array" of SpecTuning-v0', "plot"):
        agg = importlib.import_module("matplotlib.backends.backend_agg")
        figures = importlib.import_module("matplotlib.figure")
    # pyplot is not used, since it has global state and may need a display.
    figure = figures.Figure(figsize=(6.4, 4.8), dpi=100, layout="constrained")
    agg.FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    windows = [trial.window for trial in trials]
    for name, style in (("p50", ":"), ("p95", "-"), ("p99", "--")):
        above.plot(windows, [getattr(trial.metrics, name) for trial in trials], style, marker=".", label=name)
    spoiled = [trial for trial in trials if not trial.metrics.valid]
    if spoiled:
        at = [trial.window for trial in spoiled]
        above.plot(at, [trial.metrics.p95 for trial in spoiled], "x", color="black", label="not valid")
    if best is not None:
        above.axhline(best, color="grey", linewidth=1, label=f"best p95: {best:.3g} ms")
    if all(trial.metrics.p50 > 0 for trial in trials):
        above.set_yscale("log")
    above.set_ylabel("latency in ms")
    above.legend(ncols=5, **_LEGEND)
    for knob in knobs:
        places = [knob.encode(dict(trial.knobs)[knob.name]) for trial in trials]
        label = f"{knob.name} = {dict(trials[-1].knobs)[knob.name]} {knob.unit}".rstrip()
        below.step(windows, places, where="mid", marker=".", label=label)
    below.set_ylim(-1.1, 1.1)
    below.set_yticks((-1, 0, 1), ("least", "middle", "most"))
    below.set_xlabel("window")
    below.xaxis.get_major_locator().set_params(integer=True)
    below.legend(ncols=3, **_LEGEND)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba(), np.uint8)[..., :3].copy()
