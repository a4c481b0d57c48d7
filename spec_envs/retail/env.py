"""``SpecRetail-v0``: the agent serves a customer of an online shop, by tools and under a policy, as in tau-bench."""

from __future__ import annotations

import dataclasses
import json
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import gymnasium as gym
from gymnasium import spaces

from spec_envs._choosing import chosen, position_of
from spec_envs.adapting import declared_effect
from spec_envs.call_env import CallEnv
from spec_envs.calls import Call, Effect
from spec_envs.errors import HandlerFailed, InvalidConfiguration, ResetNeeded
from spec_envs.retail.actions import SAMPLES, Action, CallAction, read_action
from spec_envs.retail.customers.human import HumanCustomer
from spec_envs.retail.customers.scripted import scripted_customer
from spec_envs.retail.loading import check_tasks, is_embedded, load_data, load_tasks
from spec_envs.retail.policy_text import POLICY_TEXT
from spec_envs.retail.queries import GREETING, STOP, CustomerQuery, ToolQuery, instant_tools
from spec_envs.retail.store.snapshot import Change, StoreSnapshot
from spec_envs.retail.tasks import Task, replay, was_said
from spec_envs.retail.tools.table import SCHEMAS, TERMINAL, effect_of
from spec_envs.retail.tools.tool import ToolResult
from spec_envs.retail.tools.visible import view_of
from spec_envs.spaces import ActionText, AnyText

Observation = dict[str, str]

_TOOLS = json.dumps(SCHEMAS)


@dataclasses.dataclass(frozen=True, slots=True)
class Episode:
    """All of an episode, as an immutable value.

    Attributes:
        task: What the customer wants.
        seed: For a customer that draws.
        start: The data at the beginning; ``store`` those now.
        said: What agent and customer said, in turns, beginning with ``GREETING``.
        messages: The dialogue as the agent sees it: chat messages, each as JSON text.
        steps: Actions taken.
        name: Unlike that of any other episode; what a shop keeps this episode's data under.
        outcome: ``None``, "stop", "transfer" or "max_steps".
    """

    task: Task
    seed: int
    start: StoreSnapshot
    store: StoreSnapshot
    said: tuple[str, ...]
    messages: tuple[str, ...]
    name: str
    steps: int = 0
    outcome: str | None = None


class RetailEnv(CallEnv[Observation, Action]):
    """The agent serves a customer of an online shop: it talks, looks things up, and changes orders through tools.

    ## Description
    tau-bench's retail domain (arXiv 2406.12045): its 16 tools with the same names, arguments, outputs and errors, its
    score, and its data and tasks where you have them; a generated shop with 220 tasks comes with the package. Customer
    and tools are handlers.

    ## Action Space
    Text: a message to the customer; or a tool call as JSON text,
    ``{"name": "get_user_details", "arguments": {"user_id": "…"}}``. A mapping like that works, too, and so does
    tau-bench's form (``kwargs``, ``respond``). A call that makes no sense is answered with an error, and changes
    nothing. ``sample()`` draws one of a few that change nothing.

    ## Observation Space
    A ``Dict`` of ``Text``, all that the agent may know:

    | key        | value                                                                                        |
    |------------|----------------------------------------------------------------------------------------------|
    | `dialogue` | JSON list of chat messages in OpenAI's form: `user`, `assistant` (also `tool_calls`), `tool` |
    | `tools`    | JSON list of the tools' schemas in OpenAI's form; the same in every step                     |
    | `policy`   | the policy text; the same in every step                                                      |

    ``env.unwrapped.dialogue`` is the parsed dialogue.

    ## Starting State
    The data as they were loaded, and the customer's first message. The task is ``task_index``, or drawn in each
    ``reset``; ``reset(options={"task": …})`` takes an index, a name such as "test-12", or a ``Task``.

    ## Rewards
    As in tau-bench: 0 until the end; then 1 if the data are as the task's gold actions leave them, and each of the
    task's outputs was said to the customer, else 0. An episode that is truncated gets 0.

    ## Episode End
    *Terminated*: a message of the customer holds "###STOP###", or ``transfer_to_human_agents`` was called, with success
    or without: tau-bench's rule.
    *Truncated*: after ``max_steps`` actions.

    Should the customer's first message say stop already, the next ``step`` says so, whatever its action.

    ## Info
    | key        | value                                                                          |
    |------------|--------------------------------------------------------------------------------|
    | `task`     | the task's name, such as "test-12"                                             |
    | `steps`    | actions taken                                                                  |
    | `outcome`  | None, "stop", "transfer" or "max_steps"                                        |
    | `database` | at the end: whether the data are right                                         |
    | `outputs`  | at the end: by output that has to be said, whether it was                      |

    ## Arguments
    - ``data``: "embedded" (default), "embedded:SEED", or a folder with tau-bench's ``users.json``, ``orders.json`` and
      ``products.json``.
    - ``tasks``: a JSON file as ``load_tasks`` reads it, "embedded", or a sequence of ``Task``. Default: those of the
      generated shop; for a folder its ``tasks.json``.
    - ``split``: "train", "dev", "test" (default), or ``None`` for all. A sequence of tasks is taken as it is.
    - ``task_index``: the task of every episode; ``None`` (default) draws one in each ``reset``.
    - ``customer``: "scripted" (default; plays the generated tasks only), "human" (at the terminal), or a callable
      ``customer(query)`` or
      ``customer(query, cancel)`` that takes a ``CustomerQuery`` and returns a message. Its attribute ``effect``, if it
      has one, says whether it may be asked ahead of time (``SAMPLE`` if not).
    - ``tools``: ``None`` (default) for instant tools on the episode's own data, or a callable that takes a
      ``ToolQuery`` and returns a ``ToolResult``: the answer, and the changes for the episode's own data, which the
      score is computed from. Tools that write are then ``WRITE``; if the callable has an attribute ``effect``, this
      holds for all of them. ``spec_envs.retail.shop.HttpTools`` calls those of a shop on the network.
    - ``max_steps``: truncate after so many actions (default 100); ``None`` never does.
    - ``policy``: the policy text; ``None`` (default) for ``spec_envs.retail.policy_text.POLICY_TEXT``.
    - ``render_mode``: ``None`` or "ansi" (the dialogue as text).

    ## Forking
    An episode is an immutable value, and so are the data: a fork shares all of it, whatever its size, in some
    microseconds. Handlers are shared.

    ## Latency
    One call a step: ``Call("user", CustomerQuery(…))`` for a message and in ``reset``, ``Call("tool", ToolQuery(…))``
    for a tool call. With the instant tools all of them are ``READ``, since their changes are private to the fork.

    ## Version History
    - v0: initial version.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 1}
    shared_on_fork: ClassVar[frozenset[str]] = frozenset(
        {"episode", "tasks", "_start", "_customer_effect", "_tools_effect"}
    )

    def __init__(
        self,
        *,
        data: str | os.PathLike[str] = "embedded",
        tasks: str | os.PathLike[str] | Sequence[Task] | None = None,
        split: str | None = "test",
        task_index: int | None = None,
        customer: str | Callable[..., str] = "scripted",
        tools: Callable[..., Any] | None = None,
        max_steps: int | None = 100,
        policy: str | None = None,
        render_mode: str | None = None,
    ) -> None:
        if max_steps is not None and (type(max_steps) is not int or max_steps < 1):
            raise InvalidConfiguration(f"max_steps must be None or an integer of at least 1, not {max_steps!r}")
        if render_mode not in (None, "ansi"):
            raise InvalidConfiguration(f"render_mode must be None or 'ansi', not {render_mode!r}")
        customer = _customer_of(customer)
        if tools is not None and not callable(tools):
            raise InvalidConfiguration(f"tools must be None or a callable, not {tools!r}")
        tools = tools or instant_tools
        super().__init__({"user": customer, "tool": tools})
        self._customer_effect = declared_effect("customer", customer) or Effect.SAMPLE
        self._tools_effect = declared_effect("tools", tools)  # ``None``: by tool
        self._start = StoreSnapshot(load_data(data))
        #: The tasks to draw from.
        self.tasks: tuple[Task, ...] = _tasks_of(tasks, data, split)
        check_tasks(self._start, self.tasks)
        self._task_index = None if task_index is None else position_of(self.tasks, task_index, noun="task")
        self._max_steps = max_steps
        self._policy = POLICY_TEXT if policy is None else policy
        # From entropy: to a shop, the same seed again is another episode. A fork has the name of its original.
        self._name, self._resets = uuid.uuid4().hex, 0
        self.render_mode = render_mode
        self.action_space = ActionText(read_action, SAMPLES)
        texts: dict[str, spaces.Space[Any]] = {name: AnyText() for name in ("dialogue", "tools", "policy")}
        self.observation_space = cast("spaces.Space[Observation]", spaces.Dict(texts))
        #: The episode under way, or the last one; ``None`` before the first ``reset``. Immutable.
        self.episode: Episode | None = None

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin with a customer; ``options`` may hold ``task``: an index, a name, or a ``Task``.

        Raises:
            InvalidConfiguration: An option is unknown, or there is no such task.
            HandlerFailed: The customer said nothing.
        """
        self._check_open()
        if unknown := set(options or ()) - {"task"}:
            raise InvalidConfiguration(f"options of reset() may hold 'task', not {sorted(map(str, unknown))}")
        fixed = self._find((options or {}).get("task"))
        super().reset(seed=seed)
        episode_seed = int(self.np_random.integers(2**32))
        task = fixed or self.tasks[int(self.np_random.integers(len(self.tasks)))]
        reply = self._reply(CustomerQuery((GREETING,), task, episode_seed))
        self.episode = Episode(
            task,
            episode_seed,
            self._start,
            self._start,
            said=(GREETING, reply),
            messages=(json.dumps({"role": "user", "content": reply}),),
            name=f"{self._name}-{self._resets + 1}",
        )
        self._resets += 1
        return self._observation(self.episode), self._info(self.episode)

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Say something to the customer and hear the answer, or call a tool.

        Raises:
            InvalidAction: The action is neither a message nor a tool call.
            ResetNeeded: No episode is under way.
            HandlerFailed: The customer returned no text, or a tool something that is no result.
        """
        episode = self._under_way()
        if STOP in episode.said[1] and not episode.steps:
            episode = dataclasses.replace(episode, outcome="stop")
        else:
            act = read_action(action)
            episode = self._told(episode, act) if isinstance(act, str) else self._called(episode, act)
        self.episode = episode
        terminated, info = episode.outcome in ("stop", "transfer"), self._info(episode)
        won = terminated and info["database"] and all(info["outputs"].values())
        return self._observation(episode), float(won), terminated, episode.outcome == "max_steps", info

    @property
    def dialogue(self) -> list[dict[str, Any]]:
        """The dialogue as the agent sees it: chat messages in OpenAI's form, parsed anew.

        Raises:
            ResetNeeded: Before the first ``reset``.
        """
        return [json.loads(message) for message in self._episode().messages]

    def render(self) -> Any:
        """The dialogue as text."""
        if self.render_mode is None:
            gym.logger.warn('RetailEnv was made without a render_mode; give render_mode="ansi"')
            return None
        return "\n".join(map(_line, self.dialogue))

    def _told(self, episode: Episode, text: str) -> Episode:
        said = (*episode.said, text)
        reply = self._reply(CustomerQuery(said, episode.task, episode.seed))
        new = ({"role": "assistant", "content": text}, {"role": "user", "content": reply})
        return self._after(episode, new, "stop" if STOP in reply else None, said=(*said, reply))

    def _called(self, episode: Episode, act: CallAction) -> Episode:
        name, arguments, text = act
        view = view_of(episode.store, name, arguments)
        query = ToolQuery(name, text, view, arguments, episode.name, episode.steps)
        result = _result(self.ask(Call("tool", query, self._tools_effect or effect_of(name), touches="tool")))
        try:
            store = episode.store.patched(result.patch) if result.patch else episode.store
        except KeyError as error:
            raise HandlerFailed(f"the tool {name} changed {error}, which is not in the data") from None
        number = f"call_{episode.steps}"
        call = {"id": number, "type": "function", "function": {"name": name, "arguments": text}}
        new = (
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": number, "name": name, "content": result.output},
        )
        return self._after(episode, new, "transfer" if name in TERMINAL else None, store=store)

    def _after(self, episode: Episode, new: Sequence[Any], outcome: str | None, **changes: Any) -> Episode:
        steps = episode.steps + 1
        if outcome is None and steps == self._max_steps:
            outcome = "max_steps"
        messages = (*episode.messages, *map(json.dumps, new))
        return dataclasses.replace(episode, messages=messages, steps=steps, outcome=outcome, **changes)

    def _reply(self, query: CustomerQuery) -> str:
        reply = self.ask(Call("user", query, self._customer_effect, touches="user"))
        if not isinstance(reply, str):
            raise HandlerFailed(f"the customer must return a message as text, not {reply!r:.200}")
        return str(reply)

    def _find(self, task: int | str | Task | None) -> Task | None:
        if task is None:
            return None if self._task_index is None else self.tasks[self._task_index]
        if isinstance(task, Task):
            check_tasks(self._start, [task])
            return task
        return chosen(self.tasks, task, noun="task", name="name")

    def _episode(self) -> Episode:
        if self.episode is None:
            raise ResetNeeded("there is no customer yet; call reset() first")
        return self.episode

    def _under_way(self) -> Episode:
        self._check_open()
        episode = self._episode()
        if episode.outcome is not None:
            raise ResetNeeded(f"the episode is over ({episode.outcome}); call reset() for a new one")
        return episode

    def _observation(self, episode: Episode) -> Observation:
        # Each message's JSON is made once; the whole text is not kept, since thousands of forks would hold it each.
        return {"dialogue": f"[{', '.join(episode.messages)}]", "tools": _TOOLS, "policy": self._policy}

    def _info(self, episode: Episode) -> dict[str, Any]:
        info: dict[str, Any] = {"task": episode.task.name, "steps": episode.steps, "outcome": episode.outcome}
        if episode.outcome is not None:
            gold = (action for action in episode.task.actions if action.name not in TERMINAL)
            info["database"] = episode.store.matches(replay(episode.start, gold)[1])
            told = episode.said[2::2]
            outputs = episode.task.outputs
            info["outputs"] = {output: any(was_said(output, message) for message in told) for output in outputs}
        return info


def _tasks_of(
    tasks: str | os.PathLike[str] | Sequence[Task] | None, data: str | os.PathLike[str], split: str | None
) -> tuple[Task, ...]:
    if tasks is None:
        name = os.fspath(data)
        tasks = name if is_embedded(name) else Path(name) / "tasks.json"
    found: tuple[Task, ...]
    if isinstance(tasks, (str, os.PathLike)):
        found = load_tasks(tasks, split)
    elif isinstance(tasks, Sequence):
        found = tuple(cast("Sequence[Task]", tasks))
    else:
        raise InvalidConfiguration(f'tasks must be a file, "embedded" or a sequence of Task, not {tasks!r:.200}')
    if not found:
        raise InvalidConfiguration(f"tasks must hold at least one task, and there is none in {tasks!r:.200}")
    return found


def _customer_of(customer: str | Callable[..., str]) -> Callable[..., str]:
    if callable(customer):
        return customer
    customers: Mapping[str, Callable[[], Callable[..., str]]] = {
        "scripted": lambda: scripted_customer,
        "human": HumanCustomer,
    }
    if not isinstance(customer, str) or customer not in customers:
        raise InvalidConfiguration(f'customer must be "scripted", "human" or a callable, not {customer!r}')
    return customers[customer]()


def _result(response: Any) -> ToolResult:
    if isinstance(response, str):
        return ToolResult(response)
    if isinstance(response, tuple) and len(response) == 2 and isinstance(response[0], str):
        output, patch = response
        if isinstance(patch, tuple) and all(isinstance(change, Change) for change in patch):
            return ToolResult(output, patch)
    raise HandlerFailed(f"a tool must return a ToolResult, or its answer as text, not {response!r:.200}")


def _line(message: Mapping[str, Any]) -> str:
    for call in message.get("tool_calls", ()):
        return f"assistant calls {call['function']['name']}({call['function']['arguments']})"
    return f"{message['role']}: {message['content']}"
