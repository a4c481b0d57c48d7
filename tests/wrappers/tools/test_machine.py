"""The state machine of ``SpeculativeTools`` against a naive model, under random events."""

from __future__ import annotations

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from spec_envs.calls import Effect
from spec_envs.conversation import ToolCall
from spec_envs.wrappers.quota import HandlerLimit
from spec_envs.wrappers.tools.calls import Execution, ExecutionState
from spec_envs.wrappers.tools.limits import ToolLimits
from spec_envs.wrappers.tools.machine import Machine, Start, Stop
from spec_envs.wrappers.tools.rules import ToolRule, ToolRules

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
        self.predicting, self.running, self.cancelled = [], [], set()
        self.waiting = []  # of agents: (run, agent_call)
        self.writes = []  # (tool, begin, end or None, execution)
        self.started = []
        self.drawn = set()
        self.closing = False

    def carry_out(self):
        for command in self.machine.commands(self.now):
            match command:
                case Start(Execution() as execution):
                    name = execution.call.name
                    assert name not in WRITES and name != "private"
                    assert not any(end is None and name in TOUCHED[tool] for tool, _, end, _ in self.writes)
                    self.running.append(execution)
                    self.started.append(execution)
                case Stop(Execution() as execution):
                    assert execution in self.running and execution.id not in self.cancelled
                    assert self.closing or not execution.waiters
                    self.cancelled.add(execution.id)
                case Start(node):
                    self.predicting.append(node)
                case Stop(node):
                    assert node in self.predicting

    @rule(seconds=st.sampled_from([0.1, 1.0, 4.0]))
    def wait(self, seconds):
        self.now += seconds

    @precondition(lambda self: len(self.runs) < 3)
    @rule()
    def open(self):
        self.runs.append(self.machine.open_run([]))
        self.carry_out()

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def close_one(self, data):
        run = data.draw(st.sampled_from(self.runs))
        if any(other is run for other, _ in self.waiting):
            return
        self.runs.remove(run)
        self.machine.close_run(run)
        self.carry_out()

    @rule(data=st.data(), call=CALLS)
    def agent_calls(self, data, call):
        run = data.draw(st.sampled_from([None, *self.runs]))
        agent_call = self.machine.begin_call(run, call, self.now)
        self.carry_out()
        execution = agent_call.execution
        assert execution is not None and execution.call.key == call.key
        if call.name in WRITES:
            assert execution.reason is None and agent_call.is_own
            self.writes.append([call.name, self.now, None, execution])
        if agent_call.is_own:
            assert execution.state is ExecutionState.RUNNING and not execution.waiters
            assert execution.started_at == self.now and execution not in self.running
            self.running.append(execution)
        else:
            self.check_served(run, call, execution)
        self.waiting.append((run, agent_call))
        if execution.state is ExecutionState.DONE:
            self.finish(run, agent_call)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def agent_gives_up(self, data):
        run, agent_call = data.draw(st.sampled_from(self.waiting))
        if agent_call.is_own:
            return  # its execution ends first, by ``tool_answers``
        self.waiting.remove((run, agent_call))
        self.machine.abandon_call(run, agent_call)
        self.carry_out()

    def check_served(self, run, call, execution):
        """What is there may be given to whoever asks now."""
        assert execution.state in (ExecutionState.RUNNING, ExecutionState.DONE) and execution.id not in self.cancelled
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
        state = self.state_at_end(execution, ok)
        value = ("value", execution.id)
        for write in self.writes:
            if write[3] is execution:
                write[2] = self.now
        self.machine.end_execution(execution, self.now, state, value=value, content=execution.id, error="bad")
        self.carry_out()
        for run, agent_call in [pair for pair in self.waiting if pair[1].execution is execution]:
            self.finish(run, agent_call)

    def state_at_end(self, execution, ok):
        if execution.id in self.cancelled:
            return ExecutionState.CANCELLED
        return ExecutionState.DONE if ok else ExecutionState.FAILED

    def finish(self, run, agent_call):
        """The agent gets what it waited for, or executes the call itself; or its own execution has ended."""
        execution = agent_call.execution
        if not agent_call.is_own:
            if execution.state is not ExecutionState.DONE:
                self.machine.call_again(run, agent_call, self.now)
                self.carry_out()
                own = agent_call.execution
                assert agent_call.is_own and own.reason is None and own.state is ExecutionState.RUNNING
                self.running.append(own)
                return
            assert self.machine.take_result(agent_call) == ("value", execution.id)
        self.waiting.remove((run, agent_call))
        self.machine.end_call(run, agent_call, execution.id)
        self.carry_out()

    @precondition(lambda self: self.predicting)
    @rule(data=st.data(), guesses=st.lists(st.tuples(CALLS, st.floats(0.05, 0.9)), max_size=3))
    def guesser_answers(self, data, guesses):
        node = data.draw(st.sampled_from(self.predicting))
        self.predicting.remove(node)
        self.machine.add_guesses(node, guesses)
        self.carry_out()

    @invariant()
    def limits_hold(self):
        assert sum(execution.is_speculative for execution in self.started) <= LIMITS.max_inflight
        assert len(self.predicting) <= LIMITS.max_inflight + 1
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
        self.machine.close()
        self.carry_out()
        for execution in list(self.running):
            if execution.reason is not None:
                assert execution.id in self.cancelled
                self.running.remove(execution)
                self.machine.end_execution(execution, self.now, ExecutionState.CANCELLED)
                self.carry_out()
        if not self.waiting:
            assert all(entry.outcome != "open" for entry in self.machine.audit)


TestTools = Tools.TestCase
TestTools.settings = settings(max_examples=80, stateful_step_count=50, phases=[Phase.generate])


def test_a_result_stays_until_every_waiter_has_it_also_when_a_write_has_made_it_stale():
    machine = Machine(ToolRules(RULES), LIMITS)
    run = machine.open_run([])
    read = ToolCall("read", {"a": 0})
    maker, *waiters = [machine.begin_call(run, read, 0.0) for _ in range(3)]
    execution = maker.execution
    assert execution is not None
    assert maker.is_own and not any(waiter.is_own for waiter in waiters)
    assert execution.waiters == set(waiters)
    machine.begin_call(run, ToolCall("write", {}), 1.0)
    assert execution.forgotten == "stale"
    machine.end_execution(execution, 2.0, ExecutionState.DONE, value="value", content="seen")
    machine.end_call(run, maker, "seen")
    for waiter in waiters:
        assert machine.take_result(waiter) == "value"
        machine.end_call(run, waiter, "seen")
    assert not execution.waiters and execution.value is None  # nobody else may have it
    assert machine.statistics.shared == 2


def test_a_waiter_that_gives_up_lets_go_of_the_result_once():
    machine = Machine(ToolRules(RULES), LIMITS)
    run = machine.open_run([])
    maker, first, second = [machine.begin_call(run, ToolCall("read", {"a": 0}), 0.0) for _ in range(3)]
    machine.abandon_call(run, first)
    machine.abandon_call(run, first)
    machine.abandon_call(run, maker)  # it executes the call itself, so it is no waiter
    assert maker.execution is not None and maker.execution.waiters == {second}
