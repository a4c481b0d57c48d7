"""The ledger: counts calls, guesses and commits for the statistics, and writes them to the trace.

The ledger decides nothing. ``driver``, ``guessing`` and ``plain`` tell it of each call, guess and commit.
"""

import collections
import threading
from collections.abc import Mapping
from typing import Any

from spec_envs.brief import error_text
from spec_envs.handling import CancelToken
from spec_envs.usage import NOTHING, Usage
from spec_envs.values import key_of
from spec_envs.wrappers.quota import HandlerLimit
from spec_envs.wrappers.speculation.statistics import Statistics
from spec_envs.wrappers.speculation.timing.plain_clock import PlainClock
from spec_envs.wrappers.speculation.trace import Played, Trace, TraceEvent
from spec_envs.wrappers.speculation.transitions import TimedCount
from spec_envs.wrappers.speculation.tree.commands import Committed
from spec_envs.wrappers.speculation.tree.nodes import DONE, FAILED, STOPPED, Node, Run, RunState
from spec_envs.wrappers.speculation.warned import tell_user

_NEVER = TimedCount(0)
#: Calls that were made without the tree are counted together, when there are this many.
_MOST_PLAYED = 32


class Ledger:
    """Counts calls, times and costs of one wrapper, and writes its trace.

    Args:
        trace: The trace.
        limits: The limits of handlers, by name.

    Attributes:
        sequential_s: How long the calls took whose responses the episode has used; complete after ``settle``.
        failed_s: How long the calls took that failed while the episode waited for them, as they fail without
            speculation.
        waited_s: How long the episode waited for responses; complete after ``settle``.
        has_news: Whether ``tell`` has a failed guesser to warn of.
        commits: How many responses became final. ``windows`` and ``hits`` are the counts of ``Statistics``.
    """

    def __init__(self, trace: Trace, limits: Mapping[str, HandlerLimit]) -> None:
        self.trace = trace
        self._clock = PlainClock(limits)
        self._is_paced = self._clock.is_needed
        self._counts: collections.Counter[str] = collections.Counter()
        self._calls: collections.Counter[RunState] = collections.Counter()
        self._open: dict[Run, None] = {}
        self._guessing: set[CancelToken] = set()
        self._guesses: collections.Counter[str] = collections.Counter()
        self._guess_errors: dict[str, str] = {}  # the first error of each guesser
        self._last_failure: str | None = None
        self._told: set[str] = set()
        self.has_news = False
        self._usage: dict[str, Usage] = collections.defaultdict(lambda: NOTHING)
        self.sequential_s = self.failed_s = 0.0
        self.waited_s = 0.0
        self.commits = self.windows = self.hits = 0
        self._counted = (0, 0, 0)  # these three counts at the last call of ``counts_since``
        self._num_played = 0  # calls that were made without the tree and have not failed
        self._played = trace.pending  # calls that are not counted yet
        self._lock = threading.RLock()  # another thread may read the ledger
        trace.settle = self.settle
        self._waiting_since: float | None = None

    def reset(self, now: float) -> None:
        """Record that an episode begins."""
        self.trace.add_reset(now)

    # -- calls ---------------------------------------------------------------------------------------------------

    def started(self, now: float, run: Run, root: Node | None) -> None:
        """Record that the call of ``run`` begins."""
        if run.prefetch:
            self._counts["prefetched"] += 1
        probability = None
        if run.nodes and root is not None and run.speculative:
            probability = run.nodes[0].probability_from(root)
        self.trace.add_start(now, run, probability)
        self._open[run] = None

    @property
    def open_runs(self) -> tuple[Run, ...]:
        """The runs that have begun and not ended."""
        return tuple(self._open)

    def cancelled(self, now: float, run: Run) -> None:
        """Record that the handler of ``run`` was told to stop."""
        self.trace.add_of_run(now, "cancel", run)

    def ended(self, now: float, run: Run, full: Usage) -> None:
        """Record that the call of ``run`` has ended; ``full`` is what it would have cost without being stopped."""
        self._calls[run.state] += 1
        del self._open[run]
        if full is not NOTHING:
            self._usage["all"] += run.usage
            self._usage["all_full"] += full
        if run.state is FAILED and not run.speculative:
            self.failed_s += run.ended_at - run.started_at
        error = None if run.error is None else error_text(run.error)
        if run.state is FAILED:
            self._last_failure = f"{run.call.handler}: {error}"
        self.trace.add_end(now, run, error)
        if run.shadow_of is not None and run.state is DONE:
            self._shadow(now, run, run.shadow_of)

    def _shadow(self, now: float, run: Run, original: Run) -> None:
        same = key_of(run.response) == key_of(original.response)
        self._counts["shadow_checks"] += 1
        self._counts["shadow_differences"] += not same
        self.trace.add_of_run(now, "shadow", run, "same" if same else "other")

    def committed(self, now: float, command: Committed) -> None:
        """Record that the episode has moved on."""
        node, run = command.node, command.run
        self.commits += 1
        self.windows += command.predicted
        self.hits += node.hit
        if command.child.lossy:
            self._counts["loose_matches"] += 1
        outcome = ("hit" if node.hit else "miss") if command.predicted else "unguessed"
        self.trace.add_commit(now, node, outcome, command.rank, command.claims or None)
        if run is None:
            return
        seconds = run.ended_at - run.started_at
        self.sequential_s += seconds
        if self._is_paced:
            self._clock.used(run.call.handler, seconds, now, self.waited_s)
        if command.shared:
            self._counts["shared"] += 1
        else:
            self._counts["committed"] += 1
            if run.prefetch:
                self._counts["prefetch_used"] += 1
            if run.usage is not NOTHING:
                self._usage["committed"] += run.usage

    def played(self, call: Played) -> None:
        """Record ``call``. Its query and response are not changed any more."""
        self.commits += call[-1]
        self._played.append(call)
        if len(self._played) >= _MOST_PLAYED or self.trace.is_told or self._is_paced:
            self.settle()

    def settle(self) -> None:
        """Count the calls that were played lately: many calls together, because code that has just run is quick."""
        if not self._played:
            return
        with self._lock:
            played = self._played.copy()
            del self._played[: len(played)]  # the list stays the same: the episode may add to it on its own thread
            added = self.trace.add_played(played)
            seconds = 0.0
            for name, started_at, ended_at, usage, _, _, _ in played:
                if started_at is None:
                    continue
                seconds += ended_at - started_at
                if self._is_paced:
                    self._clock.used(name, ended_at - started_at, ended_at, self.waited_s + seconds)
                self._num_played += 1
                if usage is not NOTHING:
                    for kind in ("all", "all_full", "committed"):
                        self._usage[kind] += usage
            self.waited_s += seconds
            self.sequential_s += seconds
        if self.trace.is_told:  # without the lock: a listener may read the ledger
            for kept in added:
                self.trace.tell(kept)

    def played_in_vain(
        self, handler: str, started_at: float, ended_at: float, usage: Usage, query: Any, error: BaseException
    ) -> None:
        """Record a call that was made without the tree, and has failed with ``error``."""
        self.waited_s += ended_at - started_at
        self.failed_s += ended_at - started_at
        self._calls[FAILED] += 1
        self._last_failure = f"{handler}: {error_text(error)}"
        for kind in ("all", "all_full"):
            self._usage[kind] += usage
        self.trace.add_played_in_vain(handler, started_at, ended_at, usage, query, error)

    def given_up(self, handler: str, started_at: float, ended_at: float, usage: Usage) -> None:
        """Record a call that was made without the tree, and for which nobody waits any more."""
        self._calls[STOPPED] += 1
        for kind in ("all", "all_full"):
            self._usage[kind] += usage
        self.trace.add_played_in_vain(handler, started_at, ended_at, usage, None, None)

    def discarded(self, now: float, node: Node) -> None:
        """Record that the episode cannot come to ``node`` any more."""
        if node.run is not None:
            self.trace.add_of_node(now, "discard", node)

    def diverged(self, now: float, root: Node | None) -> None:
        """Record that the real environment did not do what the branch predicted."""
        self._counts["divergences"] += 1
        if root is None:
            self.trace.add_event(TraceEvent(now, "divergence", ""))
        else:
            self.trace.add_of_node(now, "divergence", root)

    # -- guessers ------------------------------------------------------------------------------------------------

    def predicting(self, token: CancelToken) -> None:
        """Record that a guesser begins; ``token`` is its token."""
        self._guessing.add(token)

    def guessed(
        self,
        now: float,
        node: Node,
        token: CancelToken,
        error: BaseException | None,
        partial: Usage,
        full: Usage,
    ) -> None:
        """Record that the guesser at work on ``node`` has returned, or has raised ``error``; counted only once.

        Args:
            now: The time.
            node: The node.
            token: The guesser's token.
            error: What it has raised.
            partial: What it has cost.
            full: What it would have cost if it had not been stopped.
        """
        if token not in self._guessing:
            return
        outcome = "cancelled" if token.cancelled else "failed" if error is not None else "done"
        self._guesses[outcome] += 1
        self._guessing.remove(token)
        if full is not NOTHING:
            self._usage["guessing"] += partial
            self._usage["guessing_full"] += full
        text = None
        if error is not None:
            text = error_text(error)
            is_own = not isinstance(error, KeyboardInterrupt)  # Ctrl-C comes from the user, not from the guesser
            if outcome == "failed" and node.call is not None and text is not None and is_own:
                self._guess_errors.setdefault(node.call.handler, text)
                self.has_news = True
        self.trace.add_guess(now, node, outcome, text, partial)

    def not_begun(self, token: CancelToken) -> None:
        """Record that the guesser with ``token`` was kept from beginning."""
        if token in self._guessing:
            self._guesses["cancelled"] += 1
            self._guessing.remove(token)

    def warmed(self, token: CancelToken, error: BaseException | None) -> None:
        """Record that a guesser was called only to make it ready."""
        self._guesses["done" if error is None else "failed"] += 1
        partial, full = token.usage()
        self._usage["guessing"] += partial
        self._usage["guessing_full"] += full

    def not_learned(self) -> None:
        """Record that the ``observe`` of a guesser raised an error."""
        self._guesses["not_learned"] += 1

    def tell(self) -> None:
        """Warn once of each guesser that has failed.

        Where warnings are turned into errors, the message is logged instead: no guesser may end an episode.
        """
        self.has_news = False
        for name in self._guess_errors.keys() - self._told:
            self._told.add(name)
            message = (
                f"the guesser for {name!r} failed: {self._guess_errors[name]}; its guesses are dropped, and the "
                f"episode goes on without them; this is told once, and the statistics count the failures"
            )
            tell_user(message)

    # -- time ----------------------------------------------------------------------------------------------------

    def wait_begins(self, now: float) -> None:
        """Record that the episode waits for a response."""
        self._waiting_since = now

    def wait_ends(self, now: float) -> None:
        """Record that the episode has got the response, or waits no more."""
        if self._waiting_since is not None:
            self.waited_s += now - self._waiting_since
            self._waiting_since = None

    def held(self, seconds: float) -> None:
        """Record that a call without the tree had to wait until the limit of its handler let it begin."""
        self.waited_s += seconds

    # -- figures -------------------------------------------------------------------------------------------------

    @property
    def wasted(self) -> Usage:
        """The usage of the calls that the episode has not used, each until it was stopped."""
        self.settle()
        return self._usage["all"] + self._usage["committed"] * -1

    def counts_since(self) -> dict[str, int]:
        """The numbers of commits, windows and hits since the last call of this method."""
        (commits, windows, hits), self._counted = self._counted, (self.commits, self.windows, self.hits)
        if windows == self.windows:
            return {"commits": self.commits - commits, "windows": _NEVER, "hits": _NEVER}
        return {
            "commits": self.commits - commits,
            "windows": TimedCount(self.windows - windows),
            "hits": TimedCount(self.hits - hits),
        }

    def statistics(self, num_alive: int, num_not_predicted: int) -> Statistics:
        """A snapshot of the statistics.

        Args:
            num_alive: The number of finished calls on branches that may still be committed.
            num_not_predicted: The number of responses that no guesser predicted, because its guesses would have been
                too late or too dear.
        """
        self.settle()
        counts, calls, usage = self._counts, self._calls, self._usage
        unused = calls[DONE] - counts["committed"]
        return Statistics(
            commits=self.commits,
            windows=self.windows,
            hits=self.hits,
            calls={
                "committed": counts["committed"] + self._num_played,
                "wasted": max(0, unused - num_alive),
                "cancelled": calls[STOPPED],
                "failed": calls[FAILED],
                "open": len(self._open) + min(unused, num_alive),
            },
            last_failure=self._last_failure,
            shared=counts["shared"],
            prefetched=counts["prefetched"],
            prefetch_used=counts["prefetch_used"],
            guesses={"open": len(self._guessing), **self._guesses},
            guess_errors=dict(self._guess_errors),
            not_predicted=num_not_predicted,
            divergences=counts["divergences"],
            sequential_s=self.sequential_s,
            limited_s=self._clock.limited_s,
            waited_s=self.waited_s,
            committed=usage["committed"],
            wasted=self.wasted,
            wasted_full=usage["all_full"] + usage["committed"] * -1,
            guessing=usage["guessing"],
            guessing_full=usage["guessing_full"],
            loose_matches=counts["loose_matches"],
            shadow_checks=counts["shadow_checks"],
            shadow_differences=counts["shadow_differences"],
        )
