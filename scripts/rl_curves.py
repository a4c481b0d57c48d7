"""Draws docs/rl.svg from what examples/hubs/train_ppo.py and ppo_cleanrl.py wrote with ``--json``.

Usage: python scripts/rl_curves.py TUNING.json CHESS.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams |= {"svg.hashsalt": "rl", "svg.fonttype": "none", "font.size": 9}
from matplotlib import pyplot as plt  # noqa: E402

PAGE = Path(__file__).parents[1] / "docs" / "rl.svg"


def main(tuning: str, chess: str) -> None:
    """Draw both curves side by side."""
    told, games = (json.loads(Path(path).read_text(encoding="utf-8")) for path in (tuning, chess))
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained")
    left.plot(*zip(*told["curve"], strict=True), color="#4051b5")
    left.axhline(told["random"], color="#999999", linestyle="--")
    left.set(title="SpecTuning-v0: return of an episode (dashed: random)", xlabel="windows, in thousands")
    right.plot(*zip(*[(steps, 100 * won) for steps, won in games["curve"]], strict=True), color="#4051b5")
    right.set(
        title="SpecChess-v0: % of the last 200 games won", xlabel="moves of the agent, in thousands", ylim=(0, 102)
    )
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_formatter(lambda steps, _: f"{steps / 1000:g}")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(PAGE, metadata={"Date": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
