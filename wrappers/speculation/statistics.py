"""Counts and sums over the life of a wrapper, and the figures that follow from them."""

import dataclasses
from typing import Any

from spec_envs.usage import Usage
from spec_envs.wrappers.speculation.timing.control import Control
from spec_envs.wrappers.speculation.timing.figure import sentence_of


@dataclasses.dataclass(frozen=True, slots=True)
class Statistics:
    """A snapshot; times are on the runtime's clock.

    Args:
        commits: The number of responses that became final.
        windows: The number of commits for which a guesser was put to work.
        hits: The number of windows in which the response had been guessed in time.
        calls: The number of calls started, by what became of them: ``committed`` (used by the episode), ``wasted``
            (finished for nothing), ``cancelled``, ``failed``, ``open`` (in flight, or finished on a branch that is
            still alive).
        last_failure: The handler and the error of the last call that failed; ``None`` if no call failed.
        shared: How often a ``READ`` call was answered by an execution that another call had begun.
        prefetched: The number of calls that a prefetcher had named; ``prefetch_used`` of them were used.
        guesses: The number of calls of guessers and prefetchers, by outcome: ``done``, ``failed``, ``cancelled``,
            ``open``.
        guess_errors: The first error of each guesser or prefetcher that has failed, by the name of the handler.
        over_budget: The usage of speculation beyond ``max_tokens`` and ``max_money``. It can grow where calls use more
            than they were charged with in flight; see ``Limits.max_tokens``.
        not_predicted: The number of responses for which no guesser was put to work, because its guesses were expected
            to come too late, or to cost more than they could save.
        divergences: How often a branch was dropped because the real environment did not do what it predicted.
        sequential_s: How long the committed calls took, summed up.
        limited_s: How long the plain loop would have waited besides, until rate limits (``max_calls`` of a
            ``HandlerLimit``) let it make these calls.
        waited_s: How long the episode really waited for the responses to these calls.
        inside_s: How long ``reset``, ``act`` and ``step`` took.
        environment_s: For how much of ``inside_s`` the real environment's own code ran.
        control: The comparison with steps that were run plainly; ``None`` if there were too few steps of either kind.
        guard: How the guard has the next step run: ``"ahead"``, ``"plain"``, ``"warming"`` or ``"control"``.
            ``"none"`` if there is no guard.
        committed: The usage of the committed calls.
        wasted: The usage of all other calls, each until it was stopped.
        wasted_full: The usage of all other calls, as if no call had been stopped.
        guessing: The usage of the guessers, each until it was stopped. ``guessing_full``: as if none had been stopped.
        loose_matches: The number of branches committed by a looser match (lossy).
        shadow_checks: The number of loosely matched calls that were made again with their true query;
            ``shadow_differences`` of them had a different response.
        rehearsal: Before the first episode: ``"due"``, ``"passed"``, ``"too slow"`` (the environment was not rehearsed,
            or not to the end), or ``"none"`` (not wanted, or not needed).
        proofs: The number of committed steps that were made again on another fork; ``proof_differences`` of them had a
            different outcome, or changed something that all environments share.
        fork_failures: How often speculation ended because the environment could not be forked any more.
        stopped: Why speculation on the environment has ended; ``None`` where it has not.
    """

    commits: int = 0
    windows: int = 0
    hits: int = 0
    calls: dict[str, int] = dataclasses.field(default_factory=dict)
    last_failure: str | None = None
    shared: int = 0
    prefetched: int = 0
    prefetch_used: int = 0
    guesses: dict[str, int] = dataclasses.field(default_factory=dict)
    guess_errors: dict[str, str] = dataclasses.field(default_factory=dict)
    not_predicted: int = 0
    divergences: int = 0
    sequential_s: float = 0.0
    limited_s: float = 0.0
    waited_s: float = 0.0
    inside_s: float = 0.0
    environment_s: float = 0.0
    control: Control | None = None
    guard: str = "none"
    over_budget: Usage = Usage()
    committed: Usage = Usage()
    wasted: Usage = Usage()
    wasted_full: Usage = Usage()
    guessing: Usage = Usage()
    guessing_full: Usage = Usage()
    loose_matches: int = 0
    shadow_checks: int = 0
    shadow_differences: int = 0
    rehearsal: str = "none"
    proofs: int = 0
    proof_differences: int = 0
    fork_failures: int = 0
    stopped: str | None = None

    @property
    def hit_rate(self) -> float:
        """The share of the windows in which the response had been guessed in time; 0 without any window."""
        return self.hits / self.windows if self.windows else 0.0

    @property
    def machinery_s(self) -> float:
        """How long the episode was held up by speculation's own work, apart from calls and the environment's work."""
        return max(0.0, self.inside_s - self.waited_s - self.environment_s)

    @property
    def saved_by(self) -> str:
        """What ``saved`` is measured against: ``"control"`` or ``"sequential"``."""
        return "control" if self.control is not None and not self.control.is_noisy else "sequential"

    @property
    def saved(self) -> float:
        """The share of the plain loop's time that was saved; negative if the episode became slower.

        Measured against steps that were run plainly among the others (``control``). If there is no guard, or if these
        steps are few or vary too much because calls are long, measured against the durations of the committed calls
        and the plain loop's waits for rate limits. 0 before a call was committed.
        """
        if self.control is not None and self.saved_by == "control":
            return self.control.saved
        plain_s = self._calls_s + self.environment_s
        return 1 - self.inside_s / plain_s if self._calls_s > 0 else 0.0

    @property
    def saved_s(self) -> float:
        """The time that was saved, in seconds; see ``saved``."""
        if self.control is not None and self.saved_by == "control":
            return self.control.plain_s * self.control.cycles * self.control.saved
        return self._calls_s + self.environment_s - self.inside_s if self._calls_s > 0 else 0.0

    @property
    def _calls_s(self) -> float:
        """How long the plain loop would have waited for the committed calls."""
        return self.sequential_s + self.limited_s

    @property
    def claimed_saved(self) -> float:
        """The share of the committed calls' durations and of the waits for rate limits for which nobody waited.

        The share is too high wherever speculation makes the calls themselves slower; see ``saved``.
        """
        return 1 - self.waited_s / self._calls_s if self._calls_s > 0 else 0.0

    @property
    def tokens_partial(self) -> float:
        """All tokens relative to the plain loop's; of a cancelled call, only the part that ran. 1 without tokens."""
        return self._relative(self.wasted + self.guessing)

    @property
    def tokens_full(self) -> float:
        """All tokens relative to the plain loop's; a cancelled call counts in full. 1 without tokens."""
        return self._relative(self.wasted_full + self.guessing_full)

    def _relative(self, extra: Usage) -> float:
        plain = self.committed.tokens
        return (plain + extra.tokens) / plain if plain else 1.0

    def as_dict(self) -> dict[str, Any]:
        """All fields and figures, as values that JSON can hold."""
        figures = {
            name: getattr(self, name)
            for name in (
                "hit_rate",
                "saved_s",
                "saved",
                "saved_by",
                "claimed_saved",
                "machinery_s",
                "tokens_partial",
                "tokens_full",
            )
        }
        return dataclasses.asdict(self) | figures

    def __str__(self) -> str:
        calls = ", ".join(f"{count} {outcome}" for outcome, count in self.calls.items() if count) or "none"
        limited = f" and {self.limited_s:.3g} s for limits of their rate" if self.limited_s else ""
        took = (
            f"{self.waited_s:.3g} s for {self.sequential_s:.3g} s of calls{limited}; machinery {self.machinery_s:.3g} s"
        )
        if self.shared:
            calls += f", {self.shared} shared"
        if self.last_failure is not None:
            calls += f" (the last one that failed: {self.last_failure})"
        has_calls = self._calls_s > 0 or any(self.calls.values())
        is_ahead = any((self.windows, self.prefetched, self.shared, *self.guesses.values()))
        has_guard = self.guard != "none"
        time = sentence_of(self.control, self.saved, has_guard=has_guard, has_calls=has_calls, is_ahead=is_ahead)
        lines = [
            f"time      {self.inside_s:.3g} s: {time}",
            f"waits     {took}",
            f"guesses   {self.hits} of {self.windows} responses guessed ({self.hit_rate:.1%})",
            f"calls     {calls}",
        ]
        if self.guess_errors:
            errors = "; ".join(f"{name}: {error}" for name, error in self.guess_errors.items())
            lines.append(f"failed    {self.guesses.get('failed', 0)} calls of guessers; the first: {errors}")
        if self.prefetched:
            lines.append(f"prefetch  {self.prefetch_used} of {self.prefetched} prefetched reads used")
        if self.committed.tokens:
            lines.append(
                f"tokens    {self.committed.tokens:,.0f} used; with speculation x{self.tokens_partial:.2f}"
                f" (x{self.tokens_full:.2f} if cancelled calls are charged in full)"
            )
        extra = self.wasted + self.guessing
        if any(usage.money or usage.unpriced for usage in (self.committed, extra)):
            lines.append(f"money     {self.committed.money_text} used, {extra.money_text} wasted")
        if self.over_budget:
            over = self.over_budget
            lines.append(f"budget    passed by {over.tokens:,.0f} tokens and {over.money:.4g} of money")
        if self.divergences:
            lines.append(f"diverged  {self.divergences} branches dropped")
        if self.loose_matches:
            lines.append(
                f"LOSSY     {self.loose_matches} loose matches; "
                f"{self.shadow_differences} of {self.shadow_checks} checked gave another response"
            )
        if self.rehearsal == "too slow":
            lines.append("forks     unrehearsed: the environment is too slow for it")
        if self.proofs:
            lines.append(f"proofs    {self.proofs} steps made once more, on another fork (prove_every)")
        if self.stopped is not None:
            lines.append(f"STOPPED   speculation on this environment ended: {self.stopped}")
        return "\n".join(lines)
