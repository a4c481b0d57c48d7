"""``SpecRetail-v0``: the agent serves a customer of an online shop with tools, as in tau-bench and τ³-bench."""

import dataclasses
import json
import os
import uuid
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
    integer_or_none,
    read_options,
    render_mode_of,
)
from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.handling import declared_effect
from spec_envs.retail.actions import SAMPLES, Action, CallAction, read_action
from spec_envs.retail.customers import scripted_customer
from spec_envs.retail.episode import Episode, is_won
from spec_envs.retail.loading import BUILT_IN, check_tasks, folder_of, load_data, load_tasks, task_file_in
from spec_envs.retail.policy_text import POLICY_TEXT
from spec_envs.retail.queries import GREETING, CustomerQuery, JudgeQuery, ToolQuery, hangs_up, instant_tools
from spec_envs.retail.store.snapshot import Change, StoreSnapshot
from spec_envs.retail.tasks import Task
from spec_envs.retail.tools.table import TOOL_SETS, effect_of
from spec_envs.retail.tools.tool import ToolResponse
from spec_envs.retail.tools.visible import view_of
from spec_envs.retail.unscripted_customers import HumanCustomer
from spec_envs.spaces import ActionText, AnyText

Observation = dict[str, str]

_TOOLS = {dialect: json.dumps(known.schemas) for dialect, known in TOOL_SETS.items()}


class RetailEnv(CallEnv[Observation, Action]):
    """The agent serves a customer of an online shop: it talks, looks things up, and changes orders through tools.

    ## Description
    tau-bench's retail domain (arXiv 2406.12045): 16 tools with the same names, arguments, outputs and errors, and the
    same score. A generated shop with 220 tasks comes with the package, and more shops are generated from seeds. The
    environment also plays the data and tasks of tau-bench itself; with those of its successor τ³-bench, the tools,
    outputs and score are those of τ³-bench. The customer and the tools are handlers.

    ## Action Space
    Text: a message to the customer, or a tool call as JSON text,
    ``{"name": "get_user_details", "arguments": {"user_id": "…"}}``. A tool call may also be a mapping of this form, or
    have tau-bench's form (``kwargs``, ``respond``). A wrong call is answered with an error and changes nothing. The
    calls in a list of tool calls are made in one step, one after the other, each as if it were an action of its own;
    calls behind the end of the episode are not made. ``sample()`` draws one of a few actions that change nothing.

    ## Observation Space
    A ``Dict`` of ``Text`` with everything that the agent may know:

    | key        | value                                                                                        |
    |------------|----------------------------------------------------------------------------------------------|
    | `dialogue` | JSON list of chat messages in OpenAI's form: `user`, `assistant` (also `tool_calls`), `tool` |
    | `tools`    | JSON list of the tools' schemas in OpenAI's form; the same in every step                     |
    | `policy`   | the policy text; the same in every step                                                      |

    ``env.unwrapped.dialogue`` is the parsed dialogue.

    ## Starting State
    The data as they were loaded, and the customer's first message. The task is the one at ``task_index``, or is drawn
    in each ``reset``; ``reset(options={"task": …})`` takes an index, a name such as "test-12", or a ``Task``.

    ## Rewards
    As in tau-bench: 0 until the end; then 1 if the data are as the task's gold actions leave them and the agent said
    each of the task's outputs to the customer, else 0. For a task of τ³-bench, 1 if all parts that its ``reward_basis``
    names are right; assertions that no ``judge`` has judged are left out. A truncated episode gets 0.

    ## Episode End
    *Terminated*: a message of the customer contains "###STOP###", or ``transfer_to_human_agents`` was called, even with
    wrong arguments, as in tau-bench. With the data of τ³-bench a transfer ends nothing, and "###TRANSFER###" and
    "###OUT-OF-SCOPE###" in a message of the customer end the episode, too.
    *Truncated*: after ``max_steps`` actions. (τ³-bench's own runner also gives up after ten wrong tool calls.)

    If the customer's first message contains such a text, the first ``step`` ends the episode, whatever its action.

    ## Info
    | key        | value                                                                          |
    |------------|--------------------------------------------------------------------------------|
    | `task`     | the task's name, such as "test-12"                                             |
    | `steps`    | actions taken; each tool call counts                                           |
    | `outcome`  | None, "stop", "transfer" or "max_steps"                                        |
    | `database` | at the end: whether the data are as the gold actions leave them                |
    | `outputs`  | at the end: a dict that says for each output of the task whether it was said   |
    | `parts`    | τ³-bench, at the end: for each part of `reward_basis`, whether it is right; None: unscored |
    | `unscored` | τ³-bench, at the end: the parts that count but were not scored, because there is no judge  |

    ## Arguments
    - ``data``: "embedded" (default), "generated", a folder with tau-bench's ``users.json``, ``orders.json`` and
      ``products.json``, or τ³-bench's ``db.json`` or its folder.
    - ``data_seed``, ``size``: with "generated", the seed of the shop, at least 0 (default 0), and the numbers of its
      customers and tasks as a multiple of those of the embedded shop, 1 (default) to 100.
    - ``tasks``: a JSON file as ``load_tasks`` reads it, "embedded", "generated", or a sequence of ``Task``. Default:
      the tasks of the embedded or generated shop, or ``tasks.json``, or else the only ``tasks*.json``, in the folder
      of ``data``.
    - ``split``: "train", "dev", "test" (default), or ``None`` for all; for τ³-bench, a split that ``split_tasks.json``
      names; not used for a sequence of tasks.
    - ``task_index``: the task of every episode; ``None`` (default) draws one in each ``reset``.
    - ``customer``: "scripted" (default; plays only the generated tasks), "human" (at the terminal), or a callable
      ``customer(query)`` or ``customer(query, cancel)`` that takes a ``CustomerQuery`` and returns a message. Its
      attribute ``effect`` is the effect of the customer's calls (``SAMPLE`` without this attribute).
    - ``tools``: ``None`` (default) for instant tools on the episode's own data, or a callable that takes a
      ``ToolQuery`` and returns a ``ToolResponse``: the answer, and the changes to the episode's own data, from which
      the score is computed. Calls of tools that write are then ``WRITE``; an attribute ``effect`` of the callable holds
      for all tools instead. ``spec_envs.retail.shop.HttpTools`` calls the tools of a shop on the network.
    - ``judge``: ``None`` (default), or a callable ``judge(query)`` or ``judge(query, cancel)`` that takes a
      ``JudgeQuery`` and returns a bool for each of its assertions, such as ``spec_envs.agents.ChatJudge``. Called at
      the end of an episode of τ³-bench whose task counts assertions. Its attribute ``effect`` is the effect of its
      calls (``SAMPLE`` without this attribute).
    - ``max_steps``: the number of actions after which an episode is truncated (default 100); ``None`` for no limit.
    - ``policy``: the policy text; ``None`` (default) for ``policy.md`` in the folder of ``data``, or
      ``spec_envs.retail.policy_text.POLICY_TEXT`` where there is none.
    - ``render_mode``: ``None`` or "ansi" (the dialogue as text).

    ## Forking
    The episode and the data are immutable values, so forks share them. A fork takes some microseconds, whatever the
    size of the data.
    Handlers are shared.

    ## Latency
    One call a step: ``Call("user", CustomerQuery(…))`` for a message and in ``reset``, ``Call("tool", ToolQuery(…))``
    for each tool call; ``Call("judge", JudgeQuery(…))`` after the last message, if there is a judge. All calls of the
    instant tools are ``READ``, since their changes are private to the fork.

    ## Version History
    - v0: initial version.
    """

    trace_view = "dialogue"
    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 1}
    shared_on_fork: ClassVar[frozenset[str]] = frozenset(
        {"episode", "tasks", "_start", "_customer_effect", "_judge_effect", "_tools_effect"}
    )

    def __init__(
        self,
        *,
        data: str | os.PathLike[str] = "embedded",
        data_seed: int | None = None,
        size: int | None = None,
        tasks: str | os.PathLike[str] | Sequence[Task] | None = None,
        split: str | None = "test",
        task_index: int | None = None,
        customer: str | Callable[..., str] = "scripted",
        tools: Callable[..., Any] | None = None,
        judge: Callable[..., Sequence[bool]] | None = None,
        max_steps: int | None = 100,
        policy: str | None = None,
        render_mode: str | None = None,
    ) -> None:
        self._max_steps = integer_or_none("max_steps", max_steps, least=1)
        self.render_mode = render_mode_of(self, render_mode)
        customer = _customer_of(customer)
        if tools is not None and not callable(tools):
            raise InvalidConfiguration(f"tools must be None or a callable, not {tools!r}")
        if judge is not None and not callable(judge):
            raise InvalidConfiguration(f"judge must be None or a callable, not {judge!r}")
        tools = tools or instant_tools
        super().__init__({"user": customer, "tool": tools} | ({} if judge is None else {"judge": judge}))
        self._customer_effect = declared_effect("customer", customer) or Effect.SAMPLE
        # ``None``: there is no judge.
        self._judge_effect = None if judge is None else declared_effect("judge", judge) or Effect.SAMPLE
        self._tools_effect = declared_effect("tools", tools)  # ``None``: each tool has its own
        self._start = StoreSnapshot(load_data(data, data_seed=data_seed, size=size))
        #: The tasks to draw from.
        self.tasks: tuple[Task, ...] = _tasks_of(tasks, data, split, data_seed, size)
        check_tasks(self._start, self.tasks)
        self._task_index = None if task_index is None else index_in(self.tasks, task_index, noun="task")
        self._policy = _policy_text(data) if policy is None else policy
        # Not drawn from the seed, since a shop must keep two episodes with the same seed apart. Forks have the name of
        # their original.
        self._name, self._resets = uuid.uuid4().hex, 0
        self.action_space = ActionText(read_action, SAMPLES)
        texts: dict[str, spaces.Space[Any]] = {name: AnyText() for name in ("dialogue", "tools", "policy")}
        self.observation_space = cast("spaces.Space[Observation]", spaces.Dict(texts))
        #: The episode under way, or the last one; ``None`` before the first ``reset``. Immutable.
        self.episode: Episode | None = None

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode with the customer's first message.

        Args:
            seed: Seeds the draws of the task and of the customer.
            options: May hold ``task``: an index, a name, or a ``Task``.

        Raises:
            InvalidConfiguration: An option is unknown, or there is no such task.
            HandlerFailed: The customer returned no text.
        """
        self._check_open()
        fixed = self._find(read_options(options, ("task",)).get("task"))
        super().reset(seed=seed)
        episode_seed = int(self.np_random.integers(2**32))
        task = fixed or self.tasks[int(self.np_random.integers(len(self.tasks)))]
        reply = self._reply(CustomerQuery((GREETING,), task, episode_seed))
        self._resets += 1
        name, first = f"{self._name}-{self._resets}", json.dumps({"role": "user", "content": reply})
        self.episode = Episode(task, episode_seed, name, self._start, self._start, (GREETING, reply), (first,))
        return self._observation(self.episode), self.episode.info()

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Say something to the customer and hear the answer, or call a tool.

        Raises:
            InvalidAction: The action is neither a message nor a tool call.
            ResetNeeded: No episode is under way.
            HandlerFailed: The customer returned no text, or a tool no ``ToolResponse``.
        """
        self._check_open()
        episode = begun(self.episode)
        check_under_way(episode.outcome)
        if hangs_up(episode.said[1], episode.store.dialect) and not episode.steps:
            episode = dataclasses.replace(episode, outcome="stop")
        else:
            read = read_action(action)
            if isinstance(read, str):
                episode = episode.told(read, self._reply(episode.query(read)))
            else:
                for call in read:
                    episode = episode.called(call, self._result_of(call, episode))
                    if episode.outcome is not None or episode.steps == self._max_steps:
                        break
        if episode.outcome is None and episode.steps == self._max_steps:
            episode = dataclasses.replace(episode, outcome="max_steps")
        terminated = episode.outcome in ("stop", "transfer")
        if terminated and self._judge_effect is not None and (query := episode.to_judge) is not None:
            episode = dataclasses.replace(episode, verdicts=self._verdicts(query, self._judge_effect))
        self.episode, info = episode, episode.info()
        won = terminated and is_won(info)
        return self._observation(episode), float(won), terminated, episode.outcome == "max_steps", info

    @property
    def dialogue(self) -> list[dict[str, Any]]:
        """The dialogue as the agent sees it: chat messages in OpenAI's form, parsed anew each time.

        Raises:
            ResetNeeded: Before the first ``reset``.
        """
        return [json.loads(message) for message in begun(self.episode).messages]

    def render(self) -> Any:
        """Return the dialogue as text; ``None`` without a render mode."""
        return "\n".join(map(_line, self.dialogue)) if can_render(self) else None

    def _reply(self, query: CustomerQuery) -> str:
        reply = self.ask(Call("user", query, self._customer_effect, touches="user"))
        if not isinstance(reply, str):
            raise HandlerFailed(f"the customer must return a message as text, not {reply!r:.200}")
        return str(reply)

    def _verdicts(self, query: JudgeQuery, effect: Effect) -> tuple[bool, ...]:
        verdicts = self.ask(Call("judge", query, effect, touches="judge"))
        wanted = len(query.assertions)
        if (
            not isinstance(verdicts, Sequence)
            or len(verdicts) != wanted
            or not all(isinstance(verdict, bool) for verdict in verdicts)
        ):
            raise HandlerFailed(f"the judge must return a bool for each of {wanted} assertions, not {verdicts!r:.200}")
        return tuple(verdicts)

    def _result_of(self, action: CallAction, episode: Episode) -> ToolResponse:
        name, arguments, text = action
        view = view_of(episode.store, name, arguments)
        query = ToolQuery(name, text, view, arguments, episode.name, episode.steps)
        return _checked(self.ask(Call("tool", query, self._tools_effect or effect_of(name), touches="tool")))

    def _find(self, task: int | str | Task | None) -> Task | None:
        if task is None:
            return None if self._task_index is None else self.tasks[self._task_index]
        if isinstance(task, Task):
            check_tasks(self._start, [task])
            return task
        return chosen(self.tasks, task, noun="task", name="name")

    @staticmethod
    def brief(value: Any) -> str:
        """The last message, where ``value`` is an observation."""
        if isinstance(value, dict) and "dialogue" in value:
            messages = value["dialogue"]
            value = json.loads(messages[messages.rindex('{"role": ') : -1])["content"]
        return brief(value)

    def _observation(self, episode: Episode) -> Observation:
        # Episodes keep the JSON text of each message, but not the joined text, of which each fork would hold its own.
        return {
            "dialogue": f"[{', '.join(episode.messages)}]",
            "tools": _TOOLS[episode.store.dialect],
            "policy": self._policy,
        }


def _tasks_of(
    tasks: str | os.PathLike[str] | Sequence[Task] | None,
    data: str | os.PathLike[str],
    split: str | None,
    data_seed: int | None,
    size: int | None,
) -> tuple[Task, ...]:
    if tasks is None:
        name = os.fspath(data)
        tasks = name if name in BUILT_IN else task_file_in(folder_of(name))
    found: tuple[Task, ...]
    if tasks == "generated":
        found = load_tasks("generated", split, data_seed=data_seed, size=size)
    elif isinstance(tasks, (str, os.PathLike)):
        found = load_tasks(tasks, split)
    elif isinstance(tasks, Sequence):
        found = tuple(cast("Sequence[Task]", tasks))
    else:
        raise InvalidConfiguration(f'tasks must be a file, "embedded" or a sequence of Task, not {tasks!r:.200}')
    if not found:
        raise InvalidConfiguration(f"tasks must hold at least one task, and there is none in {tasks!r:.200}")
    return found


def _policy_text(data: str | os.PathLike[str]) -> str:
    """Return the policy that belongs to the data: the policy in their folder, or the policy of this library."""
    if os.fspath(data) in BUILT_IN or not (path := folder_of(data) / "policy.md").is_file():
        return POLICY_TEXT
    return path.read_text(encoding="utf-8")


def _customer_of(customer: str | Callable[..., str]) -> Callable[..., str]:
    if callable(customer):
        return customer
    if customer == "scripted":
        return scripted_customer
    if customer == "human":
        return HumanCustomer()
    raise InvalidConfiguration(f'customer must be "scripted", "human" or a callable, not {customer!r}')


def _checked(response: Any) -> ToolResponse:
    if isinstance(response, str):
        return ToolResponse(response)
    if isinstance(response, tuple) and len(response) == 2 and isinstance(response[0], str):
        output, patch = response
        if isinstance(patch, tuple) and all(isinstance(change, Change) for change in patch):
            return ToolResponse(output, patch)
    raise HandlerFailed(f"a tool must return a ToolResponse, or its answer as text, not {response!r:.200}")


def _line(message: Mapping[str, Any]) -> str:
    for call in message.get("tool_calls", ()):
        return f"assistant calls {call['function']['name']}({call['function']['arguments']})"
    return f"{message['role']}: {message['content']}"
