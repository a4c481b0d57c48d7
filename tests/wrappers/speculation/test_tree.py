"""The speculation tree alone, against a naive model: random events, and what must hold after each."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from spec_envs import Call, Effect, Guess, Usage
from spec_envs.wrappers import HandlerLimit, Limits
from spec_envs.wrappers.speculation.tree import SpeculationTree
from spec_envs.wrappers.speculation.tree.commands import (
    Cancel,
    Command,
    Committed,
    Discarded,
    Predict,
    Start,
    StopPredicting,
)
from spec_envs.wrappers.speculation.tree.nodes import Node, Run, RunState

LENGTH = 12


@dataclasses.dataclass(frozen=True)
class Chain:
    """An episode that is nothing but its responses; ``None`` is refused, and the last few make the query.

    With ``repeats`` every second call is the same, so that a node and its descendants make equal calls.
    """

    history: tuple[Any, ...] = ()
    memory: int = LENGTH
    effects: tuple[Effect, ...] = (Effect.SAMPLE, Effect.READ)
    repeats: bool = False

    @property
    def call(self) -> Call | None:
        step = len(self.history)
        if step == LENGTH:
            return None
        seen = self.history[-self.memory :] if self.memory else ()
        if self.repeats:
            return Call(f"handler{step % 2}", (step, seen) if step % 2 else (), self.effects[step % len(self.effects)])
        return Call(f"handler{step % 4}", (step, seen), self.effects[step % len(self.effects)])

    @property
    def handler(self) -> None:
        return None

    def advance(self, response: Any) -> Chain:
        if response is None:
            raise ValueError("refused")
        return dataclasses.replace(self, history=(*self.history, response))

    def aside(self) -> Aside | None:
        return Aside(self) if len(self.history) % 3 else None


@dataclasses.dataclass(frozen=True)
class Aside:
    """Beside a ``Chain``: waits to be told numbers; ``None`` is refused, and 3 makes no read."""

    chain: Chain
    told: tuple[Any, ...] = ()

    @property
    def call(self) -> Call:
        waits = len(self.told) % 2 == 0
        handler, effect = ("prefetch", Effect.WRITE) if waits else ("handler3", Effect.READ)
        return Call(handler, (len(self.chain.history), self.told), effect, touches=handler)

    @property
    def handler(self) -> None:
        return None

    def advance(self, response: Any) -> Aside:
        if response is None or (response == 3 and len(self.told) % 2 == 0):
            raise ValueError("refused")
        return dataclasses.replace(self, told=(*self.told, response))

    def aside(self) -> None:
        return None


LIMITS = st.builds(
    Limits,
    max_inflight=st.integers(0, 5),
    max_nodes=st.integers(2, 12),
    max_depth=st.none() | st.integers(0, 3),
    min_probability=st.sampled_from([0.0, 0.1]),
    per_handler=st.sampled_from(
        [{}, {"handler0": HandlerLimit(max_inflight=2), "handler2": HandlerLimit(max_inflight=1)}]
    ),
    read_ttl_s=st.sampled_from([0.0, 3.0, 1e9]),
    max_reads=st.integers(0, 3),
)


#: Which of the calls in flight, or of the guessers at work, something happens to.
PICK = st.integers(0, 99)
RARELY = st.integers(0, 9).map(lambda number: number == 9)


class TreeMachine(RuleBasedStateMachine):
    """Drives a tree and keeps its own books."""

    tree: SpeculationTree

    @initialize(
        limits=LIMITS,
        memory=st.sampled_from([0, 1, LENGTH]),
        effects=st.lists(st.sampled_from(Effect), min_size=1, max_size=4).map(tuple),
        external=st.booleans(),
        loose=st.booleans(),
        prefetching=st.booleans(),
        repeats=st.booleans(),
    )
    def begin(
        self,
        limits: Limits,
        memory: int,
        effects: tuple[Effect, ...],
        external: bool,
        loose: bool,
        prefetching: bool,
        repeats: bool,
    ) -> None:
        self.limits = limits
        self.start = Chain(memory=memory, effects=effects, repeats=repeats)
        self.external = {"handler1"} if external else set()
        self.tree = SpeculationTree(
            limits,
            guessable={"handler0", "handler1", "handler2"},
            prefetching={"handler1", "handler2", "handler3"} if prefetching else set(),
            external=self.external,
            canonical={"handler0": lambda response: response // 2 if response is not None else None} if loose else {},
            shadow_every=2,
        )
        self.loose = loose
        self.now = 0.0
        self.history: list[Any] | None = None
        self.running: dict[Run, bool] = {}  # in flight: whether it was cancelled
        self.predicting: set[Node] = set()
        self.stopped: set[Node] = set()
        self.ever: set[Run | Node] = set()
        self.demanded = False

    def carry_out(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Start(run):
                    assert run not in self.ever
                    self.ever.add(run)
                    self.running[run] = False
                    if run.call.effect is Effect.WRITE:
                        assert self.demanded and self.tree.root is not None and run is self.tree.root.run
                case Cancel(run):
                    assert self.running[run] is False
                    self.running[run] = True
                case Predict(node):
                    assert node not in self.ever and node.alive
                    self.ever.add(node)
                    self.predicting.add(node)
                case StopPredicting(node):
                    assert node in self.predicting and node not in self.stopped
                    self.stopped.add(node)
                case Committed(node=node, child=child):
                    assert child is self.tree.root and not node.alive
                case Discarded(node):
                    assert not node.alive and node is not self.tree.root

    # -- events --------------------------------------------------------------------------------------------------

    @rule(really=RARELY)
    def rebase(self, really: bool) -> None:
        if not really and self.history is not None:
            return
        self.history, self.demanded = [], False
        self.carry_out(self.tree.rebase(self.start, self.now))

    def waits(self) -> bool:
        root = self.tree.root
        return self.history is not None and root is not None and root.call is not None

    @precondition(waits)
    @rule()
    def demand(self) -> None:
        assert self.tree.root is not None and self.tree.root.call is not None
        if self.tree.root.call.handler not in self.external:
            self.demanded = True
            self.carry_out(self.tree.demand(self.now))
            run = self.tree.root.run
            if run is None:
                # Only former authoritative calls, whose handlers ignore that they were cancelled, can hold it up.
                handler = self.tree.root.call.handler
                assert any(not run.early and run.call.handler == handler for run in self.running)
            else:
                assert run.state in (RunState.RUNNING, RunState.DONE)

    @precondition(lambda self: bool(self.running))
    @rule(pick=PICK, response=st.integers(0, 3), fails=st.booleans())
    def returns(self, pick: int, response: int, fails: bool) -> None:
        run = sorted(self.running, key=lambda run: run.id)[pick % len(self.running)]
        usage = Usage(tokens_in=1)
        if self.running.pop(run):
            self.carry_out(self.tree.stopped(run, usage, self.now))
        elif fails:
            self.carry_out(self.tree.failed(run, RuntimeError("failed"), usage, self.now))
        else:
            self.carry_out(self.tree.responded(run, response, usage, self.now))

    @precondition(lambda self: bool(self.predicting))
    @rule(
        pick=PICK,
        responses=st.lists(st.none() | st.integers(0, 3), max_size=4),
        p=st.sampled_from([0.0, 0.3, 1.0]),
        early=st.booleans(),
    )
    def guesses(self, pick: int, responses: list[int | None], p: float, early: bool) -> None:
        node = sorted(self.predicting, key=lambda node: node.id)[pick % len(self.predicting)]
        if not early:
            self.predicting.remove(node)
        guesses = [Guess(response, p) for response in responses]
        self.carry_out(self.tree.guessed(node, guesses, self.now, early=early))

    @precondition(waits)
    @rule(own=st.booleans(), response=st.integers(0, 3))
    def commits(self, own: bool, response: int) -> None:
        """The episode moves on: with the response of its call, or with a choice from outside."""
        root = self.tree.root
        assert root is not None and root.call is not None and self.history is not None
        if root.answered and not own:
            assert root.run is not None
            response = root.run.response
        elif root.call.effect is Effect.WRITE and not root.answered:
            return  # an effect of the real episode is never chosen, only awaited
        self.history.append(response)
        self.demanded = False
        self.carry_out(self.tree.commit(response, self.now))

    @rule(seconds=st.floats(0.1, 5.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.carry_out(self.tree.tick(self.now))

    @rule(really=RARELY)
    def close(self, really: bool) -> None:
        if not really:
            return
        self.carry_out(self.tree.close(self.now))
        self.history, self.demanded = None, False
        assert all(self.running.values()), "closing cancels everything in flight"
        assert self.tree.num_nodes == 0

    def check_everything(self) -> None:
        """All invariants, for whoever calls the rules directly."""
        self.nothing_leaks()
        self.limits_hold()
        self.only_what_waits_for_an_answer_is_being_guessed()
        self.the_root_is_where_the_episode_is()
        self.known_beats_guessed()
        self.no_write_runs_ahead_and_no_read_overtakes_it()
        self.side_branches_only_read_and_make_each_read_once()
        self.a_run_answers_the_call_of_its_node()

    # -- what must hold ------------------------------------------------------------------------------------------

    @invariant()
    def nothing_leaks(self) -> None:
        root = self.tree.root
        nodes = list(root.subtree()) if root is not None else []
        assert len(nodes) == self.tree.num_nodes <= self.limits.max_nodes
        assert all(node.alive for node in nodes)
        for run, cancelled in self.running.items():
            if not cancelled and run.call.effect is not Effect.READ and run.shadow_of is None:
                assert [node for node in run.nodes if node.alive], "a call in flight serves a node that can be reached"
        for node in nodes:
            if node.run is not None:
                assert node in node.run.nodes

    @invariant()
    def limits_hold(self) -> None:
        speculative = [run for run in self.running if run.speculative]
        assert len(speculative) == self.tree.num_speculative <= self.limits.max_inflight
        for name, limit in self.limits.per_handler.items():
            assert limit.max_inflight is not None
            running = [run for run in self.running if run.call.handler == name]
            assert sum(1 for run in running if run.speculative) <= max(0, limit.max_inflight - 1)
        assert len(self.predicting) <= self.limits.max_inflight + 1

    @invariant()
    def only_what_waits_for_an_answer_is_being_guessed(self) -> None:
        """Guessers whose guesses nobody needs any more were told to stop."""
        for node in self.predicting - self.stopped:
            assert node.alive and not node.answered and node.call is not None
        root = self.tree.root
        for node in root.subtree() if root is not None else ():
            if node.guessed is not None:
                assert node in self.ever

    @invariant()
    def the_root_is_where_the_episode_is(self) -> None:
        if self.history is None:
            assert self.tree.root is None
            return
        process = self.tree.root.process if self.tree.root is not None else None
        assert isinstance(process, Chain)
        assert list(process.history) == self.history

    @invariant()
    def known_beats_guessed(self) -> None:
        if self.tree.root is None:
            return
        for node in self.tree.root.subtree():
            total = sum(child.probability for child in node.children.values())
            assert total <= 1 + 1e-9 or node.side_branch is not None
            for child in node.children.values():
                assert child.parent is node
                assert child.score <= node.score + 1e-9
            if node.answered:
                assert node.run is not None and len(node.children) <= 1
                for child in node.children.values():
                    assert child.probability == 1.0
                    assert child.score == pytest.approx(node.score)
                    if isinstance(child.process, Chain):
                        assert isinstance(node.process, Chain)
                        expected = node.process.advance(node.run.response).history
                        assert child.process.history == expected

    @invariant()
    def no_write_runs_ahead_and_no_read_overtakes_it(self) -> None:
        if self.tree.root is None:
            return
        for node in self.tree.root.subtree():
            call = node.call
            if call is None or node.run is None or node is self.tree.root:
                continue
            assert call.effect is not Effect.WRITE
            if call.effect is Effect.READ:
                before = [a.call for a in node.ancestors() if a.call and a.side_branch is None and not a.answered]
                assert not [each for each in before if each.effect is Effect.WRITE and call.conflicts(each)]

    @invariant()
    def side_branches_only_read_and_make_each_read_once(self) -> None:
        if self.tree.root is None:
            return
        for node in self.tree.root.subtree():
            assert (node.side_branch is None) == isinstance(node.process, Chain | None)
            if node.aside is not None:
                assert node.side_branch is None and not node.answered
                side = list(node.aside.subtree())
                assert all(each.side_branch is node.aside.side_branch for each in side)
                reads = [each.call for each in side if each.call and each.call.handler != "prefetch"]
                assert len(set(reads)) == len(reads)
                assert all(each.run is None or each.run.call.effect is Effect.READ for each in side)

    @invariant()
    def a_run_answers_the_call_of_its_node(self) -> None:
        if self.tree.root is None:
            return
        for node in self.tree.root.subtree():
            if node.run is not None and not node.lossy:
                assert node.call == node.run.call
            assert self.loose or not node.lossy


TreeMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=80, deadline=None)
TestTree = TreeMachine.TestCase


def some_limits(rng: random.Random) -> Limits:
    return Limits(
        max_inflight=rng.choice([0, 1, 2, 5]),
        max_nodes=rng.choice([2, 5, 12, 40]),
        max_depth=rng.choice([None, None, 0, 1, 3]),
        min_probability=rng.choice([0.0, 0.0, 0.1]),
        per_handler=rng.choice(
            [{}, {"handler0": HandlerLimit(max_inflight=2), "handler2": HandlerLimit(max_inflight=1)}]
        ),
        read_ttl_s=rng.choice([0.0, 3.0, 1e9]),
        max_reads=rng.randrange(4),
    )


def walk(rng: random.Random, num_events: int) -> TreeMachine:
    """A machine after events that are mostly those of an episode that is played: few of them change nothing."""
    machine = TreeMachine()
    machine.begin(
        limits=some_limits(rng),
        memory=rng.choice([0, 1, LENGTH]),
        effects=tuple(rng.choices([Effect.SAMPLE, Effect.READ, Effect.WRITE], [2, 2, 1], k=rng.randint(1, 4))),
        external=rng.random() < 0.3,
        loose=rng.random() < 0.3,
        prefetching=rng.random() < 0.5,
        repeats=rng.random() < 0.5,
    )
    machine.rebase(really=True)
    for _ in range(num_events):
        event = rng.choices(["demand", "returns", "guesses", "commits", "time", "rebase", "close"], WEIGHTS)[0]
        if event == "demand" and machine.waits():
            machine.demand()
        elif event == "returns" and machine.running:
            machine.returns(pick=rng.randrange(99), response=rng.randrange(4), fails=rng.random() < 0.1)
        elif event == "guesses" and machine.predicting:
            responses = rng.choices([None, 0, 1, 2, 3], k=rng.randrange(4))
            p = rng.choice([0.0, 0.3, 1.0])
            machine.guesses(pick=rng.randrange(99), responses=responses, p=p, early=rng.random() < 0.3)
        elif event == "commits" and machine.waits():
            machine.commits(own=rng.random() < 0.3, response=rng.randrange(4))
        elif event == "time":
            machine.time_passes(seconds=rng.uniform(0.1, 5.0))
        elif event == "rebase" or not machine.waits():
            machine.rebase(really=True)
        elif event == "close" and rng.random() < 0.1:
            machine.close(really=True)
        machine.check_everything()
    return machine


WEIGHTS = [4, 8, 10, 3, 1, 0.5, 0.5]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_in_long_episodes(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(20):
        walk(rng, 150)


def test_an_event_that_does_not_fit_raises_and_changes_nothing() -> None:
    tree = SpeculationTree(Limits(), guessable={"handler0"})
    with pytest.raises(ValueError, match="no episode"):
        tree.demand(0.0)
    (predict,) = tree.rebase(Chain(), 0.0)
    assert isinstance(predict, Predict)
    (start,) = tree.demand(0.0)
    assert isinstance(start, Start)
    tree.responded(start.run, 1, Usage(), 1.0)
    with pytest.raises(ValueError, match="already ended"):
        tree.responded(start.run, 2, Usage(), 2.0)
    with pytest.raises(ValueError, match="only a cancelled run can stop"):
        tree.stopped(start.run, Usage(), 2.0)
    assert tree.root is not None and tree.root.run is start.run and start.run.response == 1


def test_places_go_to_the_most_probable_branches() -> None:
    tree = SpeculationTree(Limits(max_inflight=2), guessable={"handler0", "handler1"})
    (predict,) = tree.rebase(Chain(), 0.0)
    assert isinstance(predict, Predict)
    tree.demand(0.0)
    commands = tree.guessed(predict.node, [Guess(1, 0.2), Guess(2, 0.5), Guess(3, 0.3)], 1.0)
    started = [command.run.nodes[0].response for command in commands if isinstance(command, Start)]
    assert started == [2, 3]


def test_equal_guesses_are_one_branch_with_their_probabilities_added() -> None:
    tree = SpeculationTree(Limits(), guessable={"handler0"})
    (predict,) = tree.rebase(Chain(), 0.0)
    assert isinstance(predict, Predict)
    tree.guessed(predict.node, [Guess(1, 0.2), Guess(1, 0.3)], 1.0)
    assert tree.root is not None
    (child,) = tree.root.children.values()
    assert child.probability == pytest.approx(0.5)


def test_early_guesses_are_used_at_once_and_weighed_again_when_all_are_known() -> None:
    tree = SpeculationTree(Limits(max_inflight=2), guessable={"handler0"})
    (predict,) = tree.rebase(Chain(), 0.0)
    assert isinstance(predict, Predict) and tree.root is not None
    tree.demand(0.0)
    (first,) = tree.guessed(predict.node, [Guess(1, 0.6)], 1.0, early=True)
    assert isinstance(first, Start) and first.run.nodes[0].response == 1
    assert tree.guessed(predict.node, [], 2.0, early=True) == []
    (second,) = tree.guessed(predict.node, [Guess(2, 0.7), Guess(3, 0.2)], 3.0)
    assert isinstance(second, Start) and second.run.nodes[0].response == 2
    shares = {child.response: child.probability for child in tree.root.children.values()}
    assert shares == pytest.approx({1: 0.1, 2: 0.7, 3: 0.2})  # the one that was taken back has what is left
    with pytest.raises(ValueError, match="not being guessed"):
        tree.guessed(predict.node, [], 4.0, early=True)


def test_early_guesses_stay_when_nothing_follows() -> None:
    tree = SpeculationTree(Limits(), guessable={"handler0"})
    (predict,) = tree.rebase(Chain(), 0.0)
    assert isinstance(predict, Predict) and tree.root is not None
    tree.guessed(predict.node, [Guess(1, 0.6)], 1.0, early=True)
    tree.guessed(predict.node, [], 2.0)
    assert [child.probability for child in tree.root.children.values()] == [0.6]


def test_a_guess_that_comes_back_with_probability_0_is_one_that_was_taken_back() -> None:
    tree = SpeculationTree(Limits(), guessable={"handler0"})
    (predict,) = tree.rebase(Chain(), 0.0)
    assert isinstance(predict, Predict) and tree.root is not None
    tree.guessed(predict.node, [Guess(1, 0.6)], 1.0, early=True)
    tree.guessed(predict.node, [Guess(1, 0.0), Guess(2, 0.9)], 2.0)
    shares = {child.response: child.probability for child in tree.root.children.values()}
    assert shares == pytest.approx({1: 0.1, 2: 0.9})


def test_a_match_by_the_next_call_is_rebuilt_with_the_real_responses() -> None:
    """Found by a policy with state: an ancestor matched later must not bring back the guess of its descendant."""
    tree = SpeculationTree(Limits(), guessable={"handler0", "handler1"})
    (predict,) = tree.rebase(Chain(memory=0), 0.0)
    assert isinstance(predict, Predict)
    (start,) = tree.demand(0.0)
    assert isinstance(start, Start)
    branch, predict = tree.guessed(predict.node, [Guess(1, 0.9)], 0.0)
    assert isinstance(branch, Start) and isinstance(predict, Predict)
    tree.guessed(predict.node, [Guess(1, 0.9)], 0.0)
    tree.responded(branch.run, 2, Usage(), 1.0)  # not what was guessed, but the next call is the same
    tree.responded(start.run, 3, Usage(), 2.0)
    tree.commit(3, 2.0)
    tree.commit(2, 2.0)
    assert tree.root is not None and isinstance(tree.root.process, Chain)
    assert tree.root.process.history == (3, 2)


def test_a_read_behind_a_write_waits_until_the_write_is_done() -> None:
    tree = SpeculationTree(Limits(), guessable={"handler0"})
    (predict,) = tree.rebase(Chain(effects=(Effect.WRITE, Effect.READ)), 0.0)
    assert isinstance(predict, Predict)
    (write,) = tree.demand(0.0)
    assert isinstance(write, Start)
    assert tree.guessed(predict.node, [Guess(1, 0.9)], 1.0) == []
    started = [
        command.run.call.effect for command in tree.responded(write.run, 1, Usage(), 2.0) if isinstance(command, Start)
    ]
    assert started == [Effect.READ]


def test_a_call_that_fails_after_it_became_authoritative_is_made_again() -> None:
    tree = SpeculationTree(Limits(), guessable={"handler0"})
    (predict,) = tree.rebase(Chain(effects=(Effect.SAMPLE,)), 0.0)
    assert isinstance(predict, Predict)
    (first,) = tree.demand(0.0)
    assert isinstance(first, Start)
    (early,) = tree.guessed(predict.node, [Guess(1, 0.9)], 0.0)
    assert isinstance(early, Start)
    tree.responded(first.run, 1, Usage(), 1.0)
    tree.commit(1, 1.0)
    assert tree.demand(1.0) == []  # it is under way already
    (again,) = tree.failed(early.run, RuntimeError("on the branch"), Usage(), 2.0)
    assert isinstance(again, Start) and not again.run.speculative
    assert tree.failed(again.run, RuntimeError("for good"), Usage(), 3.0) == []
    assert tree.root is not None and tree.root.run is again.run


def test_a_known_future_is_as_probable_as_its_branch() -> None:
    tree = SpeculationTree(Limits(max_inflight=2), guessable={"handler0", "handler1"})
    (predict,) = tree.rebase(Chain(effects=(Effect.SAMPLE,)), 0.0)
    assert isinstance(predict, Predict)
    tree.demand(0.0)
    likely, _, predict, *_ = tree.guessed(predict.node, [Guess(1, 0.6), Guess(2, 0.4)], 0.0)
    assert isinstance(likely, Start) and isinstance(predict, Predict)
    tree.guessed(predict.node, [Guess(5, 0.1)], 0.0)  # behind the likely branch: 0.06, and no place for it
    (start,) = (command for command in tree.responded(likely.run, 5, Usage(), 1.0) if isinstance(command, Start))
    assert tree.root is not None
    assert start.run.nodes[0].probability_from(tree.root) == pytest.approx(0.6)


def test_money_decides_whether_a_call_is_worth_its_time() -> None:
    for money_per_s, expected in ((0.01, 0), (1.0, 1)):
        tree = SpeculationTree(Limits(money_per_s=money_per_s), guessable={"handler0"})
        tree.rebase(Chain(), 0.0)
        (start,) = (command for command in tree.demand(0.0) if isinstance(command, Start))
        (start,) = (command for command in tree.responded(start.run, 1, Usage(), 10.0) if isinstance(command, Start))
        # the call behind it, to handler1, takes 10 seconds and costs 1; from now on that is known
        tree.responded(start.run, 1, Usage(money=1.0), 20.0)
        predict, *_ = (command for command in tree.rebase(Chain(), 20.0) if isinstance(command, Predict))
        commands = tree.guessed(predict.node, [Guess(5, 0.5)], 21.0)
        assert sum(isinstance(command, Start) for command in commands) == expected


def test_a_node_and_its_descendant_share_a_read_and_the_first_may_discard_the_other() -> None:
    tree = SpeculationTree(Limits(), guessable={"handler0", "handler1"})
    (predict,) = tree.rebase(Chain(effects=(Effect.READ, Effect.SAMPLE), repeats=True), 0.0)
    assert isinstance(predict, Predict)
    (read,) = tree.demand(0.0)
    assert isinstance(read, Start)
    branch, predict = tree.guessed(predict.node, [Guess(1, 0.9)], 0.0)
    assert isinstance(branch, Start) and isinstance(predict, Predict)
    assert tree.guessed(predict.node, [Guess(5, 0.9)], 0.0)  # the same read again, which is under way
    assert len(read.run.nodes) == 2
    tree.responded(read.run, 2, Usage(), 1.0)
    assert tree.root is not None
    assert tree.num_nodes == len(list(tree.root.subtree())) == 2
    assert read.run.nodes == [tree.root]
