"""The state machine of ``SpeculativeTools`` against a naive model, under random events."""

from __future__ import annotations

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from spec_envs.calls import Effect
from spec_envs.conversation import ToolCall
from spec_envs.wrappers.quota import HandlerLimit
from spec_envs.wrappers.tools.executions import State
from spec_envs.wrappers.tools.machine import Ask, Cancel, Machine, Start, Unask
from spec_envs.wrappers.tools.rules import ToolLimits, ToolRule, ToolRules

RULES = {
    "read": ToolRule(effect=Effect.READ),
    "common": ToolRule(effect=Effect.READ, shared=True),
    "draw": ToolRule(effect=Effect.SAMPLE),
    "metered": ToolRule(effect=Effect.READ, metered=HandlerLimit(max_calls=6, per_s=20.0)),
    "private": ToolRule(effect=Effect.READ, private=True),
    "other:read": ToolRule(effect=Effect.READ),
    "write": ToolRule(touches=frozenset({"read", "draw"})),
    "write_all": ToolRule(),
}
#: What the naive model says that each write touches: named tools, or all of its server.
TOUCHED = {"write": {"read", "draw"}, "write_all": set(RULES) - {"other:read"}}
WRITES = ("write", "write_all")
LIMITS = ToolLimits(max_inflight=3, max_depth=3, min_probability=0.05, ttl_s=15.0, max_results=5, min_latency_s=0.0)
CALLS = st.builds(lambda name, a: ToolCall(name, {"a": a}), st.sampled_from(sorted(RULES)), st.integers(0, 1))


class Tools(RuleBasedStateMachine):
    """Agents call, tools answer, guessers guess, in any order and at any time."""

    def __init__(self):
        super().__init__()
        self.machine = Machine(ToolRules(RULES), LIMITS)
        self.machine.tools.update(RULES)
        self.now = 0.0
        self.runs = []
        self.asking, self.running, self.cancelled = [], [], set()
        self.waiting = []  # of agents: (run, asked)
        self.writes = []  # (tool, begin, end or None, execution)
        self.started = []
        self.drawn = set()
        self.closing = False

    def carry_out(self, commands):
        for command in commands:
            match command:
                case Start(execution):
                    name = execution.call.name
                    assert name not in WRITES and name != "private"
                    assert not any(end is None and name in TOUCHED[tool] for tool, _, end, _ in self.writes)
                    self.running.append(execution)
                    self.started.append(execution)
                case Cancel(execution):
                    assert execution in self.running and execution.id not in self.cancelled
                    assert self.closing or not execution.waiters
                    self.cancelled.add(execution.id)
                case Ask(node):
                    self.asking.append(node)
                case Unask(node):
                    assert node in self.asking

    @rule(seconds=st.sampled_from([0.1, 1.0, 4.0]))
    def wait(self, seconds):
        self.now += seconds

    @precondition(lambda self: len(self.runs) < 3)
    @rule()
    def open(self):
        run, commands = self.machine.opened([], self.now)
        self.runs.append(run)
        self.carry_out(commands)

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def close_one(self, data):
        run = data.draw(st.sampled_from(self.runs))
        if any(other is run for other, _ in self.waiting):
            return
        self.runs.remove(run)
        self.carry_out(self.machine.closed(run, self.now))

    @rule(data=st.data(), call=CALLS)
    def agent_calls(self, data, call):
        run = data.draw(st.sampled_from([None, *self.runs]))
        asked, commands = self.machine.asked(run, call, self.now)
        self.carry_out(commands)
        execution = asked.execution
        assert execution is not None and execution.call.key == call.key
        if call.name in WRITES:
            assert execution.reason is None and execution.state is State.RUNNING and not execution.waiters
            self.writes.append([call.name, self.now, None, execution])
        if execution.state is State.RUNNING and not execution.waiters:
            assert execution.started_at == self.now and execution not in self.running
            self.running.append(execution)  # made by the agent itself
        else:
            self.check_served(run, call, execution)
        self.waiting.append((run, asked))
        if execution.state is State.DONE:
            self.finish(run, asked)

    def check_served(self, run, call, execution):
        """What is there may be given to whoever asks now."""
        assert execution.state in (State.RUNNING, State.DONE) and execution.id not in self.cancelled
        assert self.now - execution.started_at <= LIMITS.ttl_s
        assert RULES[call.name].shared or (run is not None and execution.run == run.number)
        for tool, begin, end, _ in self.writes:
            stale = call.name in TOUCHED[tool] and begin <= self.now and (end is None or execution.started_at < end)
            assert not stale or execution.started_at >= begin and end is not None and execution.started_at >= end
        if call.name == "draw":
            assert execution.reason is not None and execution.id not in self.drawn
            self.drawn.add(execution.id)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), ok=st.integers(0, 3))
    def tool_answers(self, data, ok):
        execution = data.draw(st.sampled_from(self.running))
        self.running.remove(execution)
        state = State.CANCELLED if execution.id in self.cancelled else State.DONE if ok else State.FAILED
        value = ("value", execution.id)
        for write in self.writes:
            if write[3] is execution:
                write[2] = self.now
        self.carry_out(self.machine.ended(execution, self.now, state, value=value, content=execution.id, error="bad"))
        for run, asked in [pair for pair in self.waiting if pair[1].execution is execution]:
            self.finish(run, asked)

    def finish(self, run, asked):
        """The agent gets what it asked for, or has it made again."""
        execution = asked.execution
        if execution.waiters:
            execution.waiters -= 1
        if execution.state is not State.DONE and execution.reason is not None:
            self.carry_out(self.machine.found(run, asked, self.now, fresh=True))
            assert asked.execution.reason is None and asked.execution.state is State.RUNNING
            self.running.append(asked.execution)
            return
        if execution.state is State.DONE and execution.call.name not in WRITES:
            if execution.started_at < asked.asked_at or execution.reason is not None:
                assert execution.value == ("value", execution.id)
                self.machine.used(asked)
        self.waiting.remove((run, asked))
        self.carry_out(self.machine.answered(run, asked, execution.id, self.now))

    @precondition(lambda self: self.asking)
    @rule(data=st.data(), guesses=st.lists(st.tuples(CALLS, st.floats(0.05, 0.9)), max_size=3))
    def guesser_answers(self, data, guesses):
        node = data.draw(st.sampled_from(self.asking))
        self.asking.remove(node)
        self.carry_out(self.machine.guessed(node, guesses, self.now))

    @invariant()
    def limits_hold(self):
        assert sum(execution.takes_a_place for execution in self.started) <= LIMITS.max_inflight
        assert len(self.asking) <= LIMITS.max_inflight + 1
        recent = [e for e in self.started if e.call.name == "metered" and e.started_at > self.now - 20.0]
        assert len(recent) < 6

    @invariant()
    def books_are_kept(self):
        statistics = self.machine.statistics
        entries = list(self.machine.audit)
        assert [entry.call for entry in entries] == [execution.id for execution in self.started]
        assert statistics.started == len(entries)
        assert statistics.hits == sum(entry.outcome == "used" for entry in entries)
        assert statistics.failed == sum(entry.outcome == "failed" for entry in entries)
        assert all(entry.ended_s is not None for entry in entries if entry.outcome in ("failed", "cancelled"))

    def teardown(self):
        self.closing = True
        self.carry_out(self.machine.close())
        for execution in list(self.running):
            if execution.reason is not None:
                assert execution.id in self.cancelled
                self.running.remove(execution)
                self.carry_out(self.machine.ended(execution, self.now, State.CANCELLED))
        if not self.waiting:
            assert all(entry.outcome != "open" for entry in self.machine.audit)


TestTools = Tools.TestCase
TestTools.settings = settings(max_examples=200, stateful_step_count=50, phases=[Phase.generate])
