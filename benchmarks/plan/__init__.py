"""``spec-envs plan``: what would speculation save, and what would it cost, before you switch it on?"""

import dataclasses
from pathlib import Path

from spec_envs.benchmarks import options
from spec_envs.benchmarks.options import Settings, setting
from spec_envs.errors import InvalidConfiguration


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanSettings(Settings):
    """Predict what speculation saves and costs, for numbers of guesses and settings of the dial.

    TRACES are traces of SpeculativeWrapper (`env.trace.to_jsonl(FILE)`), or recordings of its handlers
    (`recording.save("HANDLER.jsonl")`; without `--guess-rates`, a recording has nothing to say about guesses). Without
    TRACES, give the seconds of calls: a file (`--seconds`), or a lognormal distribution (`--median-s`, `--sigma`).
    """

    seconds: Path | None = setting(
        None, "File with the seconds of calls, separated by spaces, commas or lines.", type=options.FILE
    )
    median_s: float | None = setting(None, "Median seconds of a call, if they are lognormal.", gt=0)
    sigma: float = setting(0.5, "With --median-s: standard deviation of the logarithm of the seconds.", ge=0)
    calls: int = setting(30, "Without a trace: calls of an episode.", ge=2)
    tokens: float = setting(
        0.0,
        "Tokens of a call in the mean, unless TRACES say them; longer calls use more, in proportion to their seconds. "
        "Where tokens are unknown, the cost is counted in calls.",
        ge=0,
    )
    writes: float = setting(0.0, "Without TRACES: share of the calls that must not be made ahead of time.", ge=0, le=1)
    price: float = setting(0.0, "Money for a million tokens, where TRACES do not say what calls cost.", ge=0)
    guess_rates: str | None = setting(
        None,
        "How often the likeliest guess is right, the second, and so on, as in 0.45,0.15,0.1.",
        default_text="as in TRACES",
    )
    guess_s: float | None = setting(None, "Seconds of a guess.", ge=0, default_text="as in TRACES, or 0")
    guess_tokens: float | None = setting(None, "Tokens of guessing once.", ge=0, default_text="as in TRACES, or 0")
    max_inflight: int = options.max_inflight(4)
    wanted_saving: float | None = setting(None, "Name the cheapest setting that saves this share.", gt=0, le=1)
    wanted_cost: float | None = setting(
        None, "Name the setting that saves most for at most this many times the cost of the plain loop.", ge=1
    )
    episodes: int = setting(20, "Episodes to simulate for each setting; at least those of TRACES.", ge=2)
    seed: int = options.seed()

    def check(self) -> None:
        """Check that the guess rates are shares that add up to at most 1, and that there is one source of seconds."""
        if self.seconds is not None and self.median_s is not None:
            raise InvalidConfiguration("seconds and median_s both say how long calls take; give one of them")
        rates = self.rates
        if rates is not None and (not rates or not all(0 <= rate <= 1 for rate in rates) or sum(rates) > 1 + 1e-9):
            raise InvalidConfiguration(
                f"guess_rates must be shares between 0 and 1 whose sum is at most 1, not {self.guess_rates!r}"
            )

    @property
    def rates(self) -> tuple[float, ...] | None:
        """``guess_rates`` as numbers; ``InvalidConfiguration`` if ``guess_rates`` does not hold numbers."""
        if self.guess_rates is None:
            return None
        try:
            return tuple(float(rate) for rate in self.guess_rates.split(","))
        except ValueError:
            raise InvalidConfiguration(
                f"guess_rates must be numbers with commas between them, such as 0.45,0.15, not {self.guess_rates!r}"
            ) from None
