"""Speculation on tools, as a state machine: events are methods, and return commands for whoever has an event loop.

Pure, like the tree of ``wrappers.speculation``: no loop, clock or I/O. ``executions`` says what may be used and made,
``chain`` what is likely to be called; this joins the two and keeps the books.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from spec_envs.calls import Effect
from spec_envs.conversation import Event, ToolCall, ToolResult
from spec_envs.handling import Usage
from spec_envs.wrappers.tools.audit import ToolAudit, ToolStatistics
from spec_envs.wrappers.tools.chain import Chain, Node
from spec_envs.wrappers.tools.executions import Execution, Executions, State

if TYPE_CHECKING:
    from spec_envs.wrappers.tools.rules import ToolLimits, ToolRules


@dataclasses.dataclass(frozen=True, slots=True)
class Start:
    """Make this call ahead of time."""

    execution: Execution


@dataclasses.dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody needs this call any more."""

    execution: Execution


@dataclasses.dataclass(frozen=True, slots=True)
class Ask:
    """Ask the guesser what comes after this node."""

    node: Node


@dataclasses.dataclass(frozen=True, slots=True)
class Unask:
    """Nobody needs that any more."""

    node: Node


Command = Start | Cancel | Ask | Unask


@dataclasses.dataclass(slots=True, eq=False)
class Asked:
    """A call that an agent has made: in a turn of the model's there may be several at once."""

    call: ToolCall
    asked_at: float
    execution: Execution | None = None
    result: ToolResult | None = None


@dataclasses.dataclass(slots=True, eq=False)
class RunState:
    """One agent's run: what has happened, the calls that it has not been answered yet, and what may come next."""

    number: int
    events: list[Event]
    chain: Chain
    turn: list[Asked] = dataclasses.field(default_factory=list)


class Machine:
    """All runs of one proxy."""

    def __init__(self, rules: ToolRules, limits: ToolLimits) -> None:
        self._rules = rules
        self._limits = limits
        self.executions = Executions(rules, limits)
        self.audit = ToolAudit()
        #: The tools that can be called ahead of time.
        self.tools: set[str] = set()
        self._runs: dict[int, RunState] = {}
        self._number = 0
        self._asking: set[int] = set()
        self._cancelled: set[int] = set()
        self._counts: collections.Counter[str] = collections.Counter()
        self._saved_s = 0.0
        self._guessing = Usage()

    @property
    def statistics(self) -> ToolStatistics:
        """A snapshot."""
        return ToolStatistics(saved_s=self._saved_s, guessing=self._guessing, **self._counts)

    def count(self, what: str) -> None:
        """Something to count happened outside."""
        self._counts[what] += 1

    def charge(self, usage: Usage) -> None:
        """A guess has cost ``usage``."""
        self._guessing = self._guessing + usage

    # -- runs ----------------------------------------------------------------------------------------------------

    def opened(self, events: Iterable[Event], now: float) -> tuple[RunState, list[Command]]:
        """A run begins."""
        self._number += 1
        known = list(events)
        run = RunState(self._number, known, Chain(self._number, tuple(known), self._limits))
        self._runs[run.number] = run
        return run, self._advance(now)

    def told(self, run: RunState, event: Event, now: float) -> list[Command]:
        """Somebody said something."""
        run.events.append(event)
        return [*self._moved(run, [], fresh=True), *self._advance(now)]

    def closed(self, run: RunState, now: float) -> list[Command]:
        """A run is over."""
        if self._runs.pop(run.number, None) is None:
            return []  # all is over
        commands = self._dropped(run.chain.root.below())
        commands += self._cancel(self.executions.forget_run(run.number))
        return [*commands, *self._advance(now)]

    def removed(self, tool: str) -> list[Command]:
        """``tool`` cannot be called any more; an agent that waits for a call made ahead makes it itself."""
        self.tools.discard(tool)
        return self._cancel(self.executions.forget_tool(tool))

    def close(self) -> list[Command]:
        """The end of it all."""
        commands = self._dropped([node for run in self._runs.values() for node in run.chain.root.below()])
        self._runs.clear()
        self.executions.forget_all()
        return commands + self._cancel(each for each in self.executions.running if each.reason is not None)

    # -- what agents do ------------------------------------------------------------------------------------------

    def asked(
        self, run: RunState | None, call: ToolCall, now: float, *, fresh: bool = False
    ) -> tuple[Asked, list[Command]]:
        """An agent calls a tool. What it gets is in ``execution``; one that is new is for the agent to make."""
        asked = Asked(call, now)
        self._counts["calls"] += 1
        if run is not None:
            run.turn.append(asked)
        return asked, self.found(run, asked, now, fresh=fresh)

    def found(self, run: RunState | None, asked: Asked, now: float, *, fresh: bool = False) -> list[Command]:
        """Find ``asked.execution``; again, and afresh, where the first one failed."""
        number = None if run is None else run.number
        asked.execution = self.executions.ask(number, asked.call, now, fresh=fresh)
        if self._rules[asked.call.name].effect is not Effect.WRITE:
            return []
        return self._cancel(each for each in self.executions.running if each.forgotten and each.takes_a_place)

    def answered(
        self, run: RunState | None, asked: Asked, content: Any, now: float, *, error: bool = False
    ) -> list[Command]:
        """The agent has its result, of an execution that is done, or its error."""
        asked.result = ToolResult(content, error, asked.call.id)
        return self._settled(run, now)

    def used(self, asked: Asked) -> None:
        """The agent gets the result of an execution that was there."""
        assert asked.execution is not None
        if self.executions.use(asked.execution, asked.asked_at):
            self._counts["hits"] += 1
            self._saved_s += asked.execution.saved_s
        else:
            self._counts["shared"] += 1

    def left(self, run: RunState | None, asked: Asked, now: float) -> list[Command]:
        """The agent has stopped waiting."""
        if run is not None and asked in run.turn:
            run.turn.remove(asked)
        return self._settled(run, now)

    def _settled(self, run: RunState | None, now: float) -> list[Command]:
        if run is None or run.number not in self._runs or any(asked.result is None for asked in run.turn):
            return []
        turn, run.turn = run.turn, []
        for asked in turn:
            assert asked.result is not None
            run.events += [asked.call, asked.result]
        made = [asked.execution for asked in turn if asked.execution is not None]
        return [*self._moved(run, made, fresh=not turn), *self._advance(now)]

    # -- what becomes of calls and guesses -----------------------------------------------------------------------

    def ended(
        self, execution: Execution, now: float, state: State, *, value: Any = None, content: Any = None, error: str = ""
    ) -> list[Command]:
        """A call has returned (``DONE``), raised or given what others cannot use (``FAILED``), or was stopped."""
        self.executions.ended(execution, now, state, value=value, content=content, error=error)
        self._cancelled.discard(execution.id)
        if execution.reason is not None and state is State.FAILED:
            self._counts["failed"] += 1
        commands: list[Command] = []
        if execution.rule.effect is Effect.WRITE:
            for run in self._runs.values():
                if any(node.execution is not None and node.execution.forgotten for node in run.chain.root.below()):
                    commands += self._moved(run, [], fresh=True)
        return [*commands, *self._advance(now)]

    def guessed(
        self, node: Node, guesses: Sequence[tuple[ToolCall, float]], now: float, *, early: bool = False
    ) -> list[Command]:
        """The guesser has said what it thinks comes after ``node``; ``early``: it is not done yet."""
        if not early:
            self._asking.discard(id(node))
        run = self._runs.get(node.run)
        if run is not None and guesses and not node.dropped:
            ahead = [
                (call, p) for call, p in guesses if call.name in self.tools and self._rules[call.name].may_run_ahead
            ]
            run.chain.add(node, ahead, rest=max(0.0, 1.0 - sum(p for _, p in guesses)))
        return self._advance(now)

    # -- what to do next -----------------------------------------------------------------------------------------

    def _moved(self, run: RunState, made: Sequence[Execution], *, fresh: bool = False) -> list[Command]:
        """``run`` stands where its events say; ``fresh``: nothing that was predicted holds any more."""
        events = tuple(run.events)
        if not fresh:
            return self._dropped(run.chain.move(events, made))
        old, run.chain = run.chain, Chain(run.number, events, self._limits)
        return self._dropped(old.root.below())

    def _dropped(self, nodes: Iterable[Node]) -> list[Command]:
        commands: list[Command] = []
        for node in nodes:
            node.dropped = True
            if id(node) in self._asking:
                commands.append(Unask(node))
        return commands

    def _advance(self, now: float) -> list[Command]:
        """Ask and start what is most probable, as far as there are places."""
        commands: list[Command] = []
        thinking = [run for run in self._runs.values() if not run.turn]
        if not self._limits.max_inflight or not thinking or not any(map(self._saves_time, self.tools)):
            return commands
        while True:
            attached = self._start(thinking, now, commands)
            nodes = [node for run in thinking for node in run.chain.to_ask()]
            for node in sorted(nodes, key=lambda node: -node.path_probability):
                if len(self._asking) > self._limits.max_inflight:
                    break
                node.asked = True
                self._asking.add(id(node))
                self._counts["guesses"] += 1
                commands.append(Ask(node))
            if not attached:
                return commands

    def _saves_time(self, tool: str) -> bool:
        return self._rules[tool].may_run_ahead and self.executions.is_worth_it(tool)

    def _start(self, runs: Sequence[RunState], now: float, commands: list[Command]) -> bool:
        """Start predicted calls, or find them made already. Whether one was found."""
        attached = False
        for node in (node for run in runs for node in run.chain.to_start()):
            assert node.call is not None
            node.execution = self.executions.find(node.run, node.call, now)
            attached = attached or node.execution is not None
        nodes = [node for run in runs for node in run.chain.to_start()]
        for node in sorted(nodes, key=lambda node: -node.path_probability):
            assert node.call is not None
            node.execution = self.executions.find(node.run, node.call, now)  # another run may just have begun it
            if node.execution is not None or not self.executions.may_start(node.call, now):
                continue
            if self.executions.num_speculative >= self._limits.max_inflight:
                room = self._make_room()
                if not room:
                    break  # nor is there any for what is less probable
                commands += room
                continue
            node.execution = self.executions.start(node.run, node.call, node.reason, now)
            self.audit.add(node.execution)
            self._counts["started"] += 1
            commands.append(Start(node.execution))
        return attached

    def _make_room(self) -> list[Command]:
        """Cancel a ``READ`` that no prediction needs any more. A draw is never cancelled for want of a place."""
        wanted = {id(node.execution) for run in self._runs.values() for node in run.chain.root.below()}
        for execution in self.executions.running:
            if execution.takes_a_place and execution.rule.effect is Effect.READ and id(execution) not in wanted:
                if execution.id not in self._cancelled:
                    self.executions.give_up(execution)
                    return self._cancel([execution])
        return []

    def _cancel(self, executions: Iterable[Execution]) -> list[Command]:
        new = [execution for execution in executions if execution.id not in self._cancelled]
        self._cancelled.update(execution.id for execution in new)
        return [Cancel(execution) for execution in new]
