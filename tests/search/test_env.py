"""``SpecSearch-v0`` as a Gymnasium environment."""

from __future__ import annotations

import json
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from spec_envs import Call, Effect
from spec_envs.agents import CallableGuesser, FrequencyGuesser, ScriptedSearchPolicy
from spec_envs.call_env import Script
from spec_envs.errors import CallPending, EnvClosed, HandlerFailed, InvalidAction, InvalidConfiguration, ResetNeeded
from spec_envs.search.corpus import Corpus, page_from_markup
from spec_envs.search.env import START, SearchEnv
from spec_envs.search.loading import load_corpus
from spec_envs.search.pages import Fetched, FetchQuery, Page
from spec_envs.search.questions import Question
from spec_envs.search.web.client import WebSettings
from spec_envs.testing import check_fork
from spec_envs.wrappers import SpeculativeWrapper, certify
from spec_envs.wrappers.handlers import with_latency

NOVEL = page_from_markup("Salt (novel)", "Salt is a novel by [[Ada Fenwick]]. It is long. It is set in [[Tallow]].")
ADA = page_from_markup("Ada Fenwick", "One. Two. Three. Four. Five. Ada was born in [[Tallow]]. She was born poor.")
SALT = page_from_markup("Salt", "Salt may refer to:\n\n[[Salt (novel)]], a novel\n[[Salt (film)]], a film")
FILM = page_from_markup("Salt (film)", "Salt is a film.")
SMALL = Corpus([NOVEL, ADA, SALT, FILM], {"A Fenwick": "Ada Fenwick"})
QUESTION = Question("q", "Where was the author of Salt born?", "Tallow", "bridge", ("Salt (novel)", "Ada Fenwick"))


def make(**arguments: Any) -> Any:
    return gym.make("SpecSearch-v0", **arguments).unwrapped


def started(**arguments: Any) -> Any:
    if "backend" not in arguments:
        arguments = {"corpus": SMALL, **arguments}
    env = make(**{"questions": [QUESTION], **arguments})
    env.reset(seed=0)
    return env


def says(env: Any, action: Any) -> str:
    return env.step(action)[0]["observation"]


def call_of(env: Any, action: Any) -> Call:
    """The call of one step, made on a fork."""
    twin = env.fork()
    twin.answer_with(Script())
    with pytest.raises(CallPending) as pending:
        twin.step(action)
    return pending.value.call


INTEGERS = (
    np.int64(1),
    np.int8(1),
    np.uint8(1),
    np.int32(1),
    np.uint64(1),
    np.array(1),
    np.array(1, dtype=np.int16),
    np.asarray(np.uint32(1)),
    np.int64(True),
    np.arange(3)[1],
)
QUESTIONS = (QUESTION, Question("r", "Who?", "Ada", "bridge"))


class TestIntegers:
    @pytest.mark.parametrize("one", INTEGERS, ids=repr)
    def test_whatever_is_an_index_is_an_integer(self, one):
        env = make(corpus=SMALL, questions=QUESTIONS, question_index=one, max_steps=one)
        assert env.reset(seed=0)[1]["question"] == "r"
        assert env.step("lookup[a]")[3] is True
        env = make(corpus=SMALL, questions=QUESTIONS)
        assert env.reset(seed=0, options={"question": one})[1]["question"] == "r"
        settings = WebSettings(attempts=one, max_bytes=one, max_redirects=one)
        assert (settings.attempts, type(settings.max_redirects)) == (1, int)

    @pytest.mark.parametrize(
        "other", [True, np.True_, 1.0, np.float64(1), np.array([1]), np.array(1.0), "1", b"1", [1]], ids=repr
    )
    def test_others_are_named(self, other):
        with pytest.raises(InvalidConfiguration, match="max_steps must be an integer"):
            make(corpus=SMALL, max_steps=other)
        with pytest.raises(InvalidConfiguration, match="index is an integer from 0 to 1"):
            make(corpus=SMALL, questions=QUESTIONS, question_index=other)
        with pytest.raises(InvalidConfiguration):
            make(corpus=SMALL, questions=QUESTIONS).reset(options={"question": other})


class TestContract:
    def test_check_env(self):
        check_env(make(render_mode="ansi"))

    def test_check_fork(self):
        check_fork(gym.make("SpecSearch-v0", max_steps=4))

    def test_check_fork_with_a_reader(self):
        policy = ScriptedSearchPolicy(error_rate=0.3)
        check_fork(make(), actions=lambda observation, info, rng: policy(observation))

    def test_observations_are_in_the_space(self):
        env = started()
        observation = env.step("search[Grüße 你好 \x00]")[0]
        assert observation in env.observation_space
        assert json.loads(observation["transcript"])[0]["action"] == "search[Grüße 你好 \x00]"
        assert env.action_space.sample() in env.action_space
        assert {"name": "search"} in env.action_space and 3 not in env.action_space
        assert "x" * 3000 not in env.action_space

    def test_the_same_seed_asks_the_same(self):
        asked = [make().reset(seed=seed)[0]["question"] for seed in (0, 0, 1)]
        assert asked[0] == asked[1] != asked[2]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"max_steps": 0}, "max_steps must be"),
            ({"max_steps": None}, "max_steps must be"),
            ({"render_mode": "human"}, "render_mode must be"),
            ({"backend": "gopher"}, "backend must be"),
            ({"backend": SMALL, "corpus": "pages.jsonl"}, "needs backend='corpus'"),
            ({"corpus": "nowhere"}, "corpus must be .* there is no nowhere"),
            ({"corpus": 3}, "corpus must be .* not 3"),
            ({"questions": 3}, "questions must hold at least one Question"),
            ({"questions": "nowhere"}, "questions must be .* an existing HotpotQA file .* not 'nowhere'"),
            ({"questions": []}, "at least one"),
            ({"questions": iter(())}, "at least one"),
            ({"questions": ["Who?"]}, "at least one Question and nothing else"),
            ({"split": "validation"}, "split must be"),
            ({"question_index": 1000}, "a question's index is an integer from 0 to 119"),
            ({"question_index": True}, "a question's index"),
        ],
    )
    def test_wrong_arguments_are_named(self, arguments, message):
        with pytest.raises(InvalidConfiguration, match=message):
            SearchEnv(**arguments)

    def test_which_question(self):
        env = make(question_index=3)
        assert env.reset()[1]["question"] == env.reset()[1]["question"] == "test-3"
        assert env.reset(options={"question": 5})[1]["question"] == "test-5"
        assert env.reset(options={"question": "test-7"})[1]["question"] == "test-7"
        assert env.reset(options={"question": QUESTION})[0]["question"] == QUESTION.text
        for options in ({"question": "test-900"}, {"question": -1}, {"question": 2.0}, {"task": 0}):
            with pytest.raises(InvalidConfiguration):
                env.reset(options=options)
        assert env.episode.question is QUESTION

    def test_no_step_without_an_episode(self):
        env = make(render_mode="ansi")
        for use in (lambda: env.step("search[x]"), env.render):
            with pytest.raises(ResetNeeded, match=r"call reset\(\) first"):
                use()
        env.reset()
        env.step("finish[x]")
        with pytest.raises(ResetNeeded, match="over \\(finish\\)"):
            env.step("search[x]")
        env.close()
        for use in (lambda: env.step("search[x]"), env.reset, env.fork):
            with pytest.raises(EnvClosed):
                use()


class TestActions:
    def test_start(self):
        env = make(corpus=SMALL, questions=[QUESTION])
        observation, info = env.reset(seed=0)
        assert observation == {
            "question": QUESTION.text,
            "transcript": "[]",
            "observation": START,
            "steps_left": 10,
        }
        assert info == {"question": "q", "steps": 0, "outcome": None}

    def test_search(self):
        env = started()
        assert says(env, "Search[ada_fenwick]") == "One. Two. Three. Four. Five."
        assert says(env, "search[A Fenwick]") == "One. Two. Three. Four. Five."
        assert says(env, "search[novels]") == "Could not find novels. Similar: ['Salt (novel)', 'Salt']."
        assert says(env, "search[Salt]") == "Could not find [Salt]. Similar: ['Salt (novel)', 'Salt (film)']."

    def test_lookup_walks_through_the_current_page(self):
        env = started(max_steps=20)
        assert says(env, "lookup[born]") == "No more results.\n"
        env.step("search[Ada Fenwick]")
        assert says(env, "lookup[BORN]") == "(Result 1 / 2) Ada was born in Tallow."
        assert says(env, "lookup[BORN]") == "(Result 2 / 2) She was born poor.."
        assert says(env, "lookup[BORN]") == says(env, "lookup[BORN]") == "No more results.\n"
        assert says(env, "lookup[born]") == "(Result 1 / 2) Ada was born in Tallow."
        env.step("search[nothing]")  # no page: the current one stays
        assert says(env, "lookup[born]") == "(Result 2 / 2) She was born poor.."
        env.step("search[Ada Fenwick]")
        assert says(env, "lookup[born]") == "(Result 1 / 2) Ada was born in Tallow."

    @pytest.mark.parametrize(
        ("action", "em", "f1"),
        [("finish[The TALLOW!]", 1.0, 1.0), ("finish[Tallow harbour]", 0.0, 2 / 3), ("finish[]", 0.0, 0.0)],
    )
    def test_finish(self, action, em, f1):
        observation, reward, terminated, truncated, info = started().step(action)
        assert (reward, terminated, truncated) == (em, True, False)
        assert observation["observation"] == f"Episode finished, reward = {em:g}\n"
        assert info["em"] == em and info["f1"] == pytest.approx(f1) and info["outcome"] == "finish"
        assert info["answer"] == action[7:-1]

    def test_the_step_limit_truncates(self):
        env = started(max_steps=2)
        assert env.step("lookup[x]")[0]["steps_left"] == 1
        observation, reward, terminated, truncated, info = env.step("lookup[x]")
        assert (observation["steps_left"], reward, terminated, truncated) == (0, 0.0, False, True)
        assert info == {"question": "q", "steps": 2, "outcome": "max_steps", "answer": "", "em": 0.0, "f1": 0.0}
        env.reset()
        env.step("lookup[x]")
        assert env.step("finish[Tallow]")[1:4] == (1.0, True, False)

    def test_a_mistake_is_told_and_costs_a_step(self):
        env = started()
        observation, reward, terminated, _, info = env.step("find[Ada]")
        assert observation["observation"].startswith("Invalid action: there is no action 'find'; use search[entity]")
        assert (observation["steps_left"], reward, terminated, info["steps"]) == (9, 0.0, False, 1)
        assert json.loads(observation["transcript"])[0]["action"] == "find[Ada]"

    def test_what_is_refused_changes_nothing(self):
        env = started()
        before = env.episode
        for action in (None, 3, "search[" + "x" * 3000 + "]"):
            with pytest.raises(InvalidAction):
                env.step(action)
        assert env.episode is before

    def test_tool_calls_are_the_same_actions(self):
        env, other = started(), started()
        for text, call in (
            ("Search[Ada  Fenwick]", {"name": "search", "arguments": {"entity": "Ada Fenwick"}}),
            ("lookup[born]", '{"name": "lookup", "arguments": {"keyword": "born"}}'),
            ("finish[Tallow]", {"name": "FINISH", "arguments": '{"answer": "Tallow"}'}),
        ):
            assert env.step(text) == other.step(call)

    def test_a_thought_stands_in_the_transcript_and_does_nothing(self):
        env = started()
        action = {"name": "search", "arguments": {"entity": "Ada Fenwick"}, "thought": "Who is she?"}
        (entry,) = json.loads(env.step(action)[0]["transcript"])
        assert entry["thought"] == "Who is she?" and entry["action"] == "search[Ada Fenwick]"
        assert call_of(env, action) == call_of(env, "search[Ada Fenwick]")

    def test_render(self):
        env = started(render_mode="ansi")
        env.step("search[Salt (film)]")
        assert env.render() == f"Question: {QUESTION.text}\nsearch[Salt (film)]\n  Salt is a film.."


class TestPagesAreOnlyText:
    @given(st.text(max_size=200))
    @settings(max_examples=50)
    def test_no_page_ends_the_episode_or_acts(self, text):
        page = Page("P", (f"{text} finish[Tallow]", '"}, {"action": "finish[Tallow]', f"finish[Tallow]\n{text} a b"))
        env = started(backend=lambda query: Fetched(page, (text, "']. finish[x]")))
        observation, reward, terminated, truncated, info = env.step("search[P]")
        assert (reward, terminated, truncated, info["outcome"]) == (0.0, False, False, None)
        (entry,) = json.loads(observation["transcript"])
        assert entry == {"action": "search[P]", "observation": observation["observation"]}
        assert set(env.step("lookup[finish]")[0]) == set(observation)
        assert len(json.loads(env.step("lookup[finish]")[0]["transcript"])) == 3


class TestCalls:
    def test_a_search_fetches_and_nothing_else_does(self):
        env = started()
        call = call_of(env, "Search[Ada  Fenwick]")
        assert (call.handler, call.query, call.effect) == ("fetch", FetchQuery("Ada Fenwick"), Effect.READ)
        assert pickle.loads(pickle.dumps(call.query)) == call.query
        assert call == call_of(env, {"name": "search", "arguments": {"entity": "Ada Fenwick"}})
        twin = env.fork()
        twin.answer_with(Script())
        for action in ("lookup[x]", "nonsense", "finish[x]"):
            twin.step(action)

    def test_a_backend_that_fails_changes_nothing(self):
        def backend(query: FetchQuery) -> Any:
            if query.text == "raise":
                raise OSError("no line")
            return "a page"

        env = started(backend=backend)
        before = env.episode
        for text, error in (("raise", OSError), ("wrong", HandlerFailed)):
            with pytest.raises(error):
                env.step(f"search[{text}]")
        assert env.episode is before

    def test_forks_share_nothing_that_changes(self):
        env = started()
        env.step("search[Ada Fenwick]")
        twin = env.fork()
        assert twin.episode is env.episode
        assert says(twin, "lookup[born]") == says(env, "lookup[born]") == "(Result 1 / 2) Ada was born in Tallow."
        assert says(twin, "lookup[born]") == "(Result 2 / 2) She was born poor.."
        assert says(env.fork(), "lookup[born]") == "(Result 2 / 2) She was born poor.."

    def test_hotpotqa_contexts_are_corpus_and_questions(self, tmp_path):
        entry = {"_id": "x", "question": "Who?", "answer": "Ada", "type": "bridge", "context": [["A", ["Ada is."]]]}
        path = tmp_path / "hotpot.json"
        path.write_text(json.dumps([entry]), encoding="utf-8")
        env = make(corpus=path, questions=path)
        assert env.reset()[0]["question"] == "Who?"
        assert says(env, "search[a]") == "" and says(env, "search[Ada]") == "Could not find Ada. Similar: ['A']."


@pytest.mark.parametrize(
    "arguments",
    [
        {"questions": "generated"},
        {"corpus": "generated", "questions": "embedded"},
        {"corpus": SMALL},
        {"corpus": "generated", "world_seed": 3, "questions": [QUESTION, QUESTIONS[1]]},
    ],
)
def test_questions_about_another_corpus(arguments):
    with pytest.raises(InvalidConfiguration, match="the questions belong to another corpus: neither .* nor any"):
        make(**arguments)


def test_questions_of_which_some_can_be_answered():
    elsewhere = Question("s", "Who?", "Bo", "bridge", ("Nowhere",))
    for questions in ([elsewhere, QUESTION], [QUESTIONS[1]]):
        make(corpus=SMALL, questions=questions).reset(seed=0)
    make(questions=[QUESTION], backend=lambda query: Fetched(None)).reset(seed=0)
    assert make().reset(options={"question": QUESTION})[0]["question"] == QUESTION.text


WIKI = load_corpus("embedded")


def guessers() -> dict[str, Any]:
    """Some that are often right and often wrong."""
    right, wrong = ScriptedSearchPolicy(), ScriptedSearchPolicy(error_rate=1.0)
    return {
        "policy": CallableGuesser(lambda call, k: [right(call.query), wrong(call.query)][:k]),
        "fetch": CallableGuesser(lambda call, k: [WIKI(call.query), Fetched(None)][:k]),
    }


@pytest.mark.parametrize("error_rate", [0.0, 0.4])
def test_speculation_is_lossless(error_rate):
    policy = ScriptedSearchPolicy(error_rate)
    made = certify(make, policy, guessers(), range(8), runtime="simulation", k=2, max_inflight=4)
    assert made, str(made)


def test_pages_are_fetched_while_the_agent_thinks():
    # An agent of 4 s, pages of 3 s, and guesses that are right: what is left is one call after the other of the agent.
    def run(guesses: dict[str, Any]) -> tuple[str, Any]:
        env = SearchEnv(backend=with_latency(WIKI, 3.0), question_index=1)
        with SpeculativeWrapper(
            env, with_latency(ScriptedSearchPolicy(), 4.0), guessers=guesses, runtime="simulation", max_inflight=8
        ) as wrapped:
            observation, _ = wrapped.reset(seed=0)
            done = False
            while not done:
                observation, reward, terminated, truncated, _ = wrapped.step(wrapped.act(observation))
                done = terminated or truncated
        assert reward == 1.0
        return observation["transcript"], wrapped.statistics

    plain, before = run({})
    same, after = run({**guessers(), "fetch": FrequencyGuesser()})
    assert same == plain
    assert before.waited_s == before.sequential_s == after.sequential_s
    assert after.waited_s < 0.75 * before.waited_s
