"""``SpecSearch-v0``: answer a question by reading an encyclopedia, as ReAct does on HotpotQA."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, cast

from gymnasium import spaces

from spec_envs.brief import brief
from spec_envs.call_env import CallEnv
from spec_envs.calls import Call, Effect
from spec_envs.checks import (
    begun,
    can_render,
    check_under_way,
    chosen,
    index_in,
    integer,
    read_options,
    render_mode_of,
    seed_and_size,
)
from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.search.actions import SAMPLES, Act, Action, Mistake, read_action
from spec_envs.search.corpus import Corpus
from spec_envs.search.episode import Episode
from spec_envs.search.loading import check_questions, load_questions, make_backend
from spec_envs.search.pages import Fetched, FetchQuery
from spec_envs.search.questions import Question, exact_match, f1
from spec_envs.spaces import ActionText, AnyText

Observation = dict[str, Any]

#: The value of ``observation`` after ``reset``.
START = "Answer the question by search[entity], lookup[keyword] and finish[answer].\n"


class SearchEnv(CallEnv[Observation, Action]):
    """The agent answers a question by searching an encyclopedia, page after page.

    ## Description
    ReAct's Wikipedia environment (arXiv 2210.03629) with HotpotQA's questions and score (arXiv 1809.09600). The pages
    come from a handler. A wiki and questions about a made-up world come with the package, and more worlds are generated
    from seeds; any collection of pages, or a MediaWiki site, can take the place of this wiki.

    ## Action Space
    Text, or the equivalent tool call as a mapping or as JSON text:

    | text              | tool call                                           | result                                |
    |-------------------|-----------------------------------------------------|---------------------------------------|
    | `search[entity]`  | `{"name": "search", "arguments": {"entity": "…"}}`  | the first five sentences of the page  |
    | `lookup[keyword]` | `{"name": "lookup", "arguments": {"keyword": "…"}}` | the next sentence with the keyword    |
    | `finish[answer]`  | `{"name": "finish", "arguments": {"answer": "…"}}`  | the episode ends                      |

    Names may be in upper or lower case. If there is no such page, or only a page that lists what the name may refer to,
    ``search`` returns "Could not find …. Similar: […].", and ``lookup`` still reads the page that was found before.
    ``lookup`` returns "(Result 1 / 2) …", and "No more results." after the last sentence. A malformed action returns
    "Invalid action: …" and costs a step. An action with more than 2,000 characters, or an action that is neither text
    nor JSON data, raises ``InvalidAction``. ``sample()`` draws one of a few fixed actions.

    ## Observation Space
    A ``Dict`` with everything that the agent may know:

    | key           | value                                                                           |
    |---------------|---------------------------------------------------------------------------------|
    | `question`    | text                                                                            |
    | `transcript`  | JSON list of `{"action": text, "observation": text}`, oldest first              |
    | `observation` | the result of the last action; after `reset`, instructions                      |
    | `steps_left`  | integer, 0 to `max_steps`                                                       |

    The transcript has every action in the text form, with its name in lower case. A tool call may have a ``thought``
    (text), which is kept in the transcript beside the action and has no other effect.

    ## Starting State
    An empty transcript. The question is ``question_index``, or drawn in each ``reset``;
    ``reset(options={"question": …})`` takes an index, an id such as "test-12", or a ``Question``.

    ## Rewards
    1 for ``finish`` with the right answer after HotpotQA's normalisation (case, punctuation, articles); otherwise 0.

    ## Episode End
    *Terminated* by ``finish``. *Truncated* after ``max_steps`` actions without ``finish``.

    ## Info
    | key        | value                                                                   |
    |------------|-------------------------------------------------------------------------|
    | `question` | the question's id                                                       |
    | `steps`    | actions taken                                                           |
    | `outcome`  | None, "finish" or "max_steps"                                           |
    | `answer`   | at the end: the agent's answer; "" if there is none                     |
    | `em`       | at the end: exact match, 0.0 or 1.0                                     |
    | `f1`       | at the end: F1 over the words of the answer, 0.0 to 1.0                 |

    ## Arguments
    - ``backend``: "corpus" (default); "http" or "browser", which read a MediaWiki site; or a callable
      ``backend(query)`` or ``backend(query, cancel)`` that takes a ``FetchQuery`` and returns a ``Fetched``. The
      environment does not close a callable.
    - ``site``: the address of the site that "http" and "browser" read, such as ``"https://en.wikipedia.org"``. No other
      site is contacted. ``HttpBackend`` and ``BrowserBackend`` have more settings.
    - ``corpus``: the pages of the backend "corpus": "embedded" (default), "generated", a folder, a ``.jsonl`` file or a
      HotpotQA file with contexts (see ``load_corpus``), or a ``Corpus``.
    - ``world_seed``, ``size``: with "generated", the seed of the world, at least 0 (default 0), and the size of the
      world as a multiple of the embedded world, 1 (default) to 100.
    - ``questions``: "embedded", "generated", a HotpotQA file (see ``load_questions``), or a sequence of ``Question``.
      Default: "generated" if the corpus is generated, else "embedded". If the questions name the pages that they need,
      at least one of these pages must be in the corpus.
    - ``split``: which of the embedded or generated questions: "train", "dev", "test" (default), or ``None`` for all.
    - ``question_index``: index of the question for all episodes; ``None`` (default) draws a question in each ``reset``.
    - ``max_steps``: truncate after this number of actions (default 10).
    - ``render_mode``: ``None`` or "ansi" (question, actions and results, as text).

    ## Forking
    Episodes and pages are immutable, so forks share them. A fork takes some microseconds, whatever the length of the
    episode. Handlers are shared; the backends "http" and "browser" are closed with the last fork.

    ## Latency
    ``search`` makes one call, ``Call("fetch", FetchQuery(entity), Effect.READ)``; ``lookup`` and ``finish`` make none.
    Equal calls may share one execution, on all branches. With the backend "browser", ``reset`` starts the browsers in
    the background. The backend "corpus" answers at once; ``spec_envs.wrappers.handlers.with_latency`` gives a backend
    the response time of a real site.

    ## Version History
    - v0: initial version.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 1}
    shared_on_fork: ClassVar[frozenset[str]] = frozenset({"episode", "questions", "_prepare"})

    def __init__(
        self,
        *,
        backend: str | Callable[..., Fetched] = "corpus",
        site: str | None = None,
        corpus: str | os.PathLike[str] | Corpus = "embedded",
        world_seed: int | None = None,
        size: int | None = None,
        questions: str | os.PathLike[str] | Sequence[Question] | None = None,
        split: str | None = "test",
        question_index: int | None = None,
        max_steps: int = 10,
        render_mode: str | None = None,
    ) -> None:
        self._max_steps = integer("max_steps", max_steps, least=1)
        self.render_mode = render_mode_of(self, render_mode)
        if questions is None:
            questions = "generated" if isinstance(corpus, str) and corpus == "generated" else "embedded"
        is_generated = [isinstance(each, str) and each == "generated" for each in (corpus, questions)]
        if not any(is_generated):
            seed_and_size(corpus, world_seed, size, name="world_seed")  # which says what is wrong if they were given
        of_corpus, of_questions = (
            {"world_seed": world_seed, "size": size} if each else {"world_seed": None, "size": None}
            for each in is_generated
        )
        handler, is_new = make_backend(backend, corpus=corpus, site=site, **of_corpus)
        super().__init__({"fetch": handler}, owned=["fetch"] if is_new else [])
        self._prepare: Callable[[], None] | None = getattr(handler, "prepare", None)
        #: The questions that ``reset`` draws from.
        self.questions: tuple[Question, ...] = _questions(questions, split, **of_questions)
        check_questions(handler, self.questions)
        self._question_index = (
            None if question_index is None else index_in(self.questions, question_index, noun="question")
        )
        self.action_space = ActionText(read_action, SAMPLES)
        parts: dict[str, spaces.Space[Any]] = {name: AnyText() for name in ("question", "transcript", "observation")}
        parts["steps_left"] = spaces.Discrete(self._max_steps + 1)
        self.observation_space = cast("spaces.Space[Observation]", spaces.Dict(parts))
        #: The current episode, or the one that ended last; ``None`` before the first ``reset``. Immutable.
        self.episode: Episode | None = None

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode. ``options`` may hold ``question``: an index, an id, or a ``Question``.

        Raises:
            InvalidConfiguration: An option is unknown, or there is no such question.
        """
        self._check_open()
        fixed = self._find(read_options(options, ("question",)).get("question"))
        super().reset(seed=seed)
        if self._prepare is not None:
            self._prepare()
        question = fixed or self.questions[int(self.np_random.integers(len(self.questions)))]
        self.episode = Episode(question, START)
        return self._observation(self.episode), _info(self.episode)

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Search, look up, or finish.

        Raises:
            InvalidAction: The action is neither text nor a tool call, or is too long.
            ResetNeeded: No episode is under way.
            HandlerFailed: The backend did not return a ``Fetched``.
        """
        self._check_open()
        episode = begun(self.episode)
        check_under_way(episode.outcome)
        act, reward = read_action(action), 0.0
        if isinstance(act, Mistake):
            episode = episode.mistaken(act)
        elif act.name == "search":
            episode = episode.found(act, self._fetch(act))
        elif act.name == "lookup":
            episode = episode.looked_up(act)
        else:
            reward = float(exact_match(act.argument, episode.question.answer))
            episode = episode.finished(act, reward)
        if episode.outcome is None and episode.steps == self._max_steps:
            episode = dataclasses.replace(episode, outcome="max_steps")
        self.episode = episode
        terminated, truncated = episode.outcome == "finish", episode.outcome == "max_steps"
        return self._observation(episode), reward, terminated, truncated, _info(episode)

    def render(self) -> Any:
        """The question, the actions and their results, as text.

        Raises:
            ResetNeeded: There is no episode before the first ``reset``.
        """
        if not can_render(self):
            return None
        episode = begun(self.episode)
        return "\n".join((f"Question: {episode.question.text}", *episode.lines()))

    def _fetch(self, act: Act) -> Fetched:
        fetched = self.ask(Call("fetch", FetchQuery(act.argument), Effect.READ, touches="fetch"))
        if not isinstance(fetched, Fetched):
            raise HandlerFailed(f"the backend must return a Fetched for {act.argument!r}, not {fetched!r:.200}")
        return fetched

    def _find(self, question: int | str | Question | None) -> Question | None:
        if question is None:
            return None if self._question_index is None else self.questions[self._question_index]
        if isinstance(question, Question):
            return question
        return chosen(self.questions, question, noun="question", name="id")

    @staticmethod
    def brief(value: Any) -> str:
        """The result of the last action, where ``value`` is an observation; at first, the question."""
        if isinstance(value, dict) and {"question", "transcript"} <= value.keys():
            value = value["question"] if value["transcript"] == "[]" else value["observation"]
        return brief(value)

    def _observation(self, episode: Episode) -> Observation:
        # The JSON of an entry is made once. The whole text is not stored, since each of many forks would hold a copy.
        return {
            "question": episode.question.text,
            "transcript": f"[{', '.join(episode.transcript)}]",
            "observation": episode.observation,
            "steps_left": self._max_steps - episode.steps,
        }


def _questions(
    source: str | os.PathLike[str] | Sequence[Question], split: str | None, **world: int | None
) -> tuple[Question, ...]:
    if isinstance(source, (str, os.PathLike)):
        return load_questions(source, split, **world)
    questions = tuple(source) if hasattr(source, "__iter__") else ()
    if not questions or not all(isinstance(each, Question) for each in questions):
        raise InvalidConfiguration(
            "questions must hold at least one Question and nothing else, or name a file of questions, "
            f"not {source!r:.200}"
        )
    return questions


def _info(episode: Episode) -> dict[str, Any]:
    info: dict[str, Any] = {"question": episode.question.id, "steps": episode.steps, "outcome": episode.outcome}
    if episode.outcome is not None:
        answer, gold = episode.answer, episode.question.answer
        info["answer"] = answer or ""
        info["em"] = float(answer is not None and exact_match(answer, gold))
        info["f1"] = 0.0 if answer is None else f1(answer, gold)
    return info
