"""Episodes in a served shop: each write happens once, whatever is foreseen and whatever happens on the line."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest

from spec_envs import Call, CancelToken, fork
from spec_envs.agents import CallableGuesser, ScriptedRetailPolicy
from spec_envs.errors import HandlerFailed
from spec_envs.retail.customers import scripted_customer
from spec_envs.retail.loading import load_data
from spec_envs.retail.queries import CustomerQuery, ToolQuery, instant_tools
from spec_envs.retail.shop import Faults, HttpTools, ShopDatabase, serving
from spec_envs.retail.tools.table import WRITES
from spec_envs.wrappers import SpeculativeWrapper, certify
from spec_envs.wrappers.handlers import with_latency
from tests.retail.served_shop import CANCEL, cancelling, check_agreement, made, play, written

TROUBLE = Faults(lost_before=0.1, lost_after=0.25, failed=0.1, slow=0.1, slow_s=0.002, seed=4)


class Seer:
    """Guesses what customers, tools and the agent will say: right two times in three, and something else beside it."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent

    def __call__(self, call: Call, k: int) -> list[Any]:
        query = call.query
        match query:
            case CustomerQuery():
                truth: Any = scripted_customer(query)
                other: Any = "Yes."
                wrong = len(query.said[-1]) % 3 == 0
            case ToolQuery():
                truth, other = instant_tools(query), instant_tools(query)._replace(output="Error: no")
                wrong = len(query.text) % 3 == 0
            case _:
                truth, other = self._agent(query), "Is there anything else?"
                wrong = len(query["dialogue"]) % 3 == 0
        return [other if wrong else truth, "Hm." if not isinstance(query, ToolQuery) else other][:k]


GUESSERS: dict[str, Any] = {
    name: CallableGuesser(Seer(ScriptedRetailPolicy(error_rate=0.2))) for name in ("user", "tool", "policy")
}


def draws(seed: int) -> Faults:
    return Faults(lost_after=0.5, seed=seed)


class TestOneWriteOnce:
    @pytest.mark.parametrize("runtime", ["simulation", "threads"])
    @pytest.mark.parametrize("faults", [None, TROUBLE], ids=["quiet", "trouble"])
    def test_plain_and_speculative_runs_leave_equal_databases(self, database, runtime, faults):
        policy = ScriptedRetailPolicy(error_rate=0.2)
        with serving(database, faults=faults) as served, HttpTools(served.address, attempts=30, backoff_s=0.0) as tools:
            ends: dict[str, list[Any]] = {"plain": [], "speculative": []}
            ahead = hits = 0
            for seed in range(5):
                plain = made(tools)
                wrapped = SpeculativeWrapper(
                    made(tools),
                    policy=policy,
                    guessers=GUESSERS,
                    k=2,
                    max_inflight=6,
                    runtime=runtime,
                    guard=False,
                )
                with plain, wrapped:
                    for kind, env, act in (("plain", plain, policy), ("speculative", wrapped, wrapped.act)):
                        reward = play(env, act, seed)
                        check_agreement(database, env)
                        name = env.get_wrapper_attr("episode").name
                        log = [(write.name, write.arguments, write.output) for write in database.writes(name)]
                        ends[kind].append((reward, database.snapshot(name).tau_hash(), log))
                    assert written(wrapped) == written(plain)
                    ahead += sum(e.handler == "tool" and e.speculative is True for e in wrapped.trace)
                    hits += wrapped.statistics.hits
                    assert not [e for e in wrapped.trace if e.handler == "tool" and e.error]
        assert runtime == "threads" or (ahead > 10 and hits > 5)  # there was something to go wrong
        assert ends["plain"] == ends["speculative"]
        assert sum(len(log) for _, _, log in ends["plain"]) >= 4

    @pytest.mark.parametrize("runtime", ["simulation", "threads"])
    def test_certify(self, database, runtime):
        with (
            serving(database, faults=TROUBLE) as served,
            HttpTools(served.address, attempts=30, backoff_s=0.0) as tools,
        ):
            certificate = certify(
                lambda: made(tools), ScriptedRetailPolicy(), GUESSERS, range(4), runtime=runtime, k=2, max_inflight=4
            )
        assert certificate, certificate

    def test_reads_run_ahead_and_writes_do_not(self, database):
        started: list[tuple[str, bool]] = []

        def watched(query: ToolQuery, cancel: CancelToken) -> Any:
            started.append((query.name, threading.current_thread() is threading.main_thread()))
            return tools(query, cancel)

        policy = ScriptedRetailPolicy()
        guessers: dict[str, Any] = {"policy": CallableGuesser(lambda call, k: [policy(call.query)])}
        with serving(database) as served, HttpTools(served.address) as tools:
            env = SpeculativeWrapper(
                made(watched, task_index=CANCEL), with_latency(policy, 0.02), guessers=guessers, k=1, guard=False
            )
            with env:
                assert play(env, env.act, 0) == 1.0
                check_agreement(database, env)
        assert (False in {here for name, here in started if name not in WRITES}) is True
        assert {here for name, here in started if name in WRITES} == {True}

    def test_the_answer_gets_lost_and_the_step_is_made_again(self, database):
        seed = next(s for s in itertools.count() if [draws(s).of(n) for n in (0, 1)] == ["lost_after", None])
        with serving(database, faults=draws(seed)) as served, HttpTools(served.address, attempts=1) as tools:
            env, cancel = cancelling(tools)
            before = env.episode
            with pytest.raises(HandlerFailed, match=r"cancel_pending_order at http.* was not answered in 1 attempts"):
                env.step(cancel)
            assert env.episode is before and len(database.writes(before.name)) == 1  # carried out, and nobody knows
            env.step(cancel)
            check_agreement(database, env)
            assert len(database.writes(before.name)) == 1

    def test_after_a_lost_answer_another_write_is_refused(self, database):
        seed = next(s for s in itertools.count() if [draws(s).of(n) for n in (0, 1)] == ["lost_after", None])
        with serving(database, faults=draws(seed)) as served, HttpTools(served.address, attempts=1) as tools:
            env, cancel = cancelling(tools)
            with pytest.raises(HandlerFailed):
                env.step(cancel)
            reasons = {"ordered by mistake", "no longer needed"}
            cancel["arguments"]["reason"] = (reasons - {cancel["arguments"]["reason"]}).pop()
            with pytest.raises(HandlerFailed, match="belongs to another call"):
                env.step(cancel)

    def test_a_fork_that_writes_for_real_is_noticed(self, database):
        with serving(database) as served, HttpTools(served.address) as tools:
            env, cancel = cancelling(tools)
            fork(env).step(cancel)
            env.step("Hello?")
            with pytest.raises(HandlerFailed, match="somebody else has changed them"):
                env.step(cancel)

    def test_each_episode_has_its_own_data(self, database):
        with serving(database) as served, HttpTools(served.address) as tools:
            env, cancel = cancelling(tools)
            other, _ = cancelling(tools)
            env.step(cancel)
            first = env.episode.name
            env.reset(seed=0)
            assert len({first, env.episode.name, other.episode.name}) == 3
            for each in (env, other):
                each.step(cancel)  # pending again
                assert not each.dialogue[-1]["content"].startswith("Error")
                check_agreement(database, each)

    def test_the_other_shop_has_other_data(self):
        with (
            ShopDatabase(load_data("generated", data_seed=1)) as other,
            serving(other) as served,
            HttpTools(served.address) as tools,
        ):
            env, _ = cancelling(tools)
            with pytest.raises(HandlerFailed, match="this shop's data have digest"):
                env.step({"name": "list_all_product_types", "arguments": {}})
