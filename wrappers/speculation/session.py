"""``Session``: an environment, its agent and its speculation tree, as both wrappers hold them.

``SpeculativeWrapper`` blocks where it waits for a response, and ``AsyncSpeculativeWrapper`` awaits the response. The
work between two waits is the same, and is here.
"""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

from spec_envs.call_env import Answer, CallEnv
from spec_envs.errors import InvalidConfiguration, NotForkable, ResetNeeded, UnknownHandler
from spec_envs.forking import fork
from spec_envs.handling import Handler
from spec_envs.values import own_copy
from spec_envs.wrappers.runtimes.blocking import make_runtime
from spec_envs.wrappers.speculation.driver import Driver
from spec_envs.wrappers.speculation.episode import STEP, Checkpoint, Deciding, Stepped, Stepping, attempt
from spec_envs.wrappers.speculation.ledger import Ledger
from spec_envs.wrappers.speculation.lifetime import Lifetime
from spec_envs.wrappers.speculation.options import SessionOptions
from spec_envs.wrappers.speculation.plain import PlainSteps
from spec_envs.wrappers.speculation.statistics import Statistics
from spec_envs.wrappers.speculation.timing.cycles import IDLE_CPU, IDLE_LOOP
from spec_envs.wrappers.speculation.timing.guard import Guard, Mode
from spec_envs.wrappers.speculation.timing.pacing import Pacing
from spec_envs.wrappers.speculation.trace import Trace
from spec_envs.wrappers.speculation.transitions import (
    POLICY,
    AnyEnv,
    Decision,
    Method,
    Transition,
    action_of,
    private_copy_or_itself,
    same_action,
    stepping,
    within,
)
from spec_envs.wrappers.speculation.tree import SpeculationTree
from spec_envs.wrappers.speculation.tree.nodes import Run
from spec_envs.wrappers.speculation.trust.forks import Trust
from spec_envs.wrappers.speculation.trust.lending import Lending
from spec_envs.wrappers.speculation.trust.policy_state import LOOK_AFTER, PolicyState
from spec_envs.wrappers.speculation.trust.reach import reasons_against
from spec_envs.wrappers.speculation.verifying import Verifying
from spec_envs.wrappers.speculation.warned import warn_user

_NOTHING = object()
#: Steps are made on the event loop once a step has taken less than the first time, until one takes the second time.
_QUICK_S, _SLOW_S = 2e-3, 10e-3


class Session(Lifetime):
    """One environment with its tree.

    Args:
        env: The real environment. ``adopt`` puts another environment in the place of ``Session.env``.
        options: The user's options.
        owner: The name of the wrapper, for error messages.
        on_forks: See ``Trust``.

    Attributes:
        asks: Whether the environment asks for its calls (``CallEnv``).
        trust: Says whether forks of the environment can be relied on.
        driver: Runs the tree, and gives the responses.
        plain: Plays without the tree.
        is_plain: Whether the episode is now played without forks and without the tree. (On an event loop, an
            environment that does not ask for calls is played so only if its steps are quick.)
        base: The snapshot in which the step or reset under way began.
        agent: How actions are chosen, in the state in which the policy's last decision has left it.
        last: The transition of the last step or reset; ``None`` if the reset has failed.
        verifying: Compares the step or reset under way with its prediction, if the environment asks for its calls.
    """

    def __init__(self, env: AnyEnv, options: SessionOptions, owner: str, *, on_forks: bool = False) -> None:
        self._options, self.trust = options, Trust(env, options, on_forks=on_forks)
        self.env = self.base = env
        self.asks = isinstance(env.unwrapped, CallEnv)
        handlers = env.unwrapped.handlers if isinstance(env.unwrapped, CallEnv) else {}
        options.check_names(handlers, asks=self.asks)
        self.agent = options.agent()
        limits = self._limits = options.limits_for(handlers)
        super().__init__(f"{owner}{env}", Ledger(options.trace(env, self.handler), limits.per_handler))
        quotas = limits.quotas()
        is_guarded = options.guards(limits) and not self.trust.is_plain
        estimates = self._estimates = options.known(env, guarded=is_guarded)
        guard = Guard(record=estimates.guard, idle_cpu=IDLE_LOOP if on_forks else IDLE_CPU) if is_guarded else None

        def make_tree(inflight: Iterable[Run]) -> SpeculationTree:
            tree = options.tree(limits, estimates, quotas, self.handler, inflight, self._ledger.wasted)
            tree.pause(self.trust.is_withdrawn or (guard is not None and guard.mode is not Mode.AHEAD))
            return tree

        runtime = make_runtime(options.runtime)
        self._awaited = on_forks
        # On an event loop, only the tree keeps the limits of handlers.
        self._can_turn_plain = not on_forks or quotas.keys().isdisjoint((POLICY, STEP, *handlers))
        self._ahead = limits.max_inflight > 0 or limits.paces
        is_shared = self._ahead and self.agent.stateful is None  # whether calls ahead of time share the policy
        self._policy_state, self._num_decisions = PolicyState(options.policy if is_shared else None), 0
        self.pacing = Pacing(runtime, self._ledger, guard)
        self.driver = Driver(make_tree, runtime, self.handler, options.all_guessers(), options.k, self._ledger)
        keep = None if guard is None else self.driver.guessing.keep
        self.plain = PlainSteps(runtime, self.handler, self._ledger, keep, quotas)
        self.answer_plainly = self.pacing.asking(self.plain.answer)
        self._are_steps_quick, self._stepped_s = False, math.inf  # whether steps may be made on the event loop
        self._turn(self._ahead if guard is None else guard.mode is Mode.AHEAD)
        if limits.max_inflight and not self.trust.is_plain:
            called = [(name, each) for name, each in ((POLICY, options.policy), *handlers.items()) if each is not None]
            for reason in reasons_against(env, called, on_threads=options.is_on_the_wall_clock):
                warn_user(reason)
        self._lending = Lending()
        self.verifying = Verifying(self.driver)
        self.last: Transition | None = None
        self._acted: Any = None
        self._given: Any = _NOTHING  # the next observation of the policy, if the user was given this object itself

    @property
    def trace(self) -> Trace:
        """What happened, event by event."""
        return self._ledger.trace

    def statistics(self) -> Statistics:
        """Counts and sums so far."""
        self.check_process()
        self.tell()
        statistics = self.trust.add_to(self.driver.statistics())
        statistics = self.pacing.add_to(statistics)
        return dataclasses.replace(statistics, over_budget=self._limits.excess(statistics.wasted))

    def handler(self, name: str) -> Handler:
        """Return the handler called ``name``; ``UnknownHandler`` if no handler has that name."""
        if name == POLICY and self.agent.handler is not None:
            return self.agent.handler
        unwrapped = self.env.unwrapped
        if not isinstance(unwrapped, CallEnv):
            raise UnknownHandler(f"{unwrapped} has no handlers; it was asked for {name!r}")
        return unwrapped.handler(name)

    def _turn(self, ahead: bool) -> None:
        self._ahead = ahead
        is_quick = not self._awaited or self.asks or self._are_steps_quick
        self.is_plain = (self.trust.is_plain or not ahead) and self._can_turn_plain and is_quick

    def keep(self) -> None:
        """Keep the estimates of handlers for later wrappers."""
        guard = self.pacing.guard
        if guard is not None:
            self._estimates.guard = guard.record()
        self._options.keep(self.env, self._estimates, guarded=guard is not None)

    def check_ready(self) -> None:
        """Like ``check_open``; also raises ``ResetNeeded`` if the episode was interrupted."""
        self.check_open()
        if self.driver.interrupted:
            raise ResetNeeded("Ctrl-C has interrupted the episode in the middle of an event; call reset() first")
        if self._lending.is_lent and self._lending.has_changed(self.env) and (root := self.root) is not None:
            self._go_on_from(dataclasses.replace(root, env=self.snapshot(may_refuse=False) if self.asks else self.env))

    def lend(self) -> AnyEnv:
        """Give the user the environment. If the user may change it unseen, remember its state to compare with later."""
        is_compared = self.verifying.is_wary or not self.asks
        if is_compared and not self.is_plain and not self.closed and self.root is not None:
            self._lending.lend(self.env)
        return self.env

    # -- a reset -------------------------------------------------------------------------------------------------

    def discard_episode(self) -> None:
        """Discard the whole tree and the policy's last decision."""
        self.driver.begin_anew()
        self._ledger.reset(self.driver.now())
        self._acted, self.plain.place, self._given = None, None, _NOTHING
        self.plain.drop()

    def run(self, method: Method, answer: Answer) -> Transition:
        """Run ``method`` on the real environment; ``answer`` (of ``pacing.asking``) responds to its calls."""
        return self.pacing.run(self.env, self.apart(method), answer)

    def apart(self, method: Method) -> Method:
        """``method``, run while no fork makes a step, because both may draw from the same generator."""
        steps = self.trust.steps
        if steps is None or (self.is_plain and not self.driver.is_calling):  # then no fork can begin a step meanwhile
            return method
        return within(steps, method)

    def begin(self, transition: Transition) -> Transition:
        """Begin an episode after ``transition``; ``NotForkable`` if forks are not faithful, or not independent."""
        self.trust.begin(self.env, transition)
        return self.restart(transition, may_refuse=True)

    def begin_reset(self, method: Method) -> None:
        """Put the root at the first call of the reset ``method`` of a ``CallEnv``, before the real reset comes there.

        If the reset fails on the fork, there is no root; the real reset then raises the error.
        """
        _ = self.env.unwrapped.np_random  # seeded from entropy now, so that a fork without a seed resets alike
        self.base, self.last = fork(self.env), None
        self.verifying.begin()
        try:
            self.driver.rebase(attempt(self.base, self.agent, method))
        except Exception:
            self.driver.rebase(None)

    # -- the decision --------------------------------------------------------------------------------------------

    @property
    def root(self) -> Deciding | None:
        """Where a step may begin; ``None`` before a reset, after a failed reset, and after the end of an episode."""
        root = self.plain.place if self.is_plain else self._place
        return None if root is None or root.transition.done else root

    @property
    def _place(self) -> Deciding | None:
        """The place of the episode, if the episode is between two steps; also after its end."""
        if self.is_plain:
            return self.plain.place
        root = self.driver.root
        return root if isinstance(root, Deciding) else None

    def _go_on_from(self, place: Deciding | None) -> None:
        self._given = _NOTHING
        if self.is_plain:
            self.plain.place = place
        else:
            self.driver.rebase(place)

    def observe(self, observation: Any) -> None:
        """Put the root where the policy sees ``observation``, and check that the policy can decide now.

        Raises:
            InvalidConfiguration: The wrapper was made without a policy.
            ResetNeeded: There is no episode, or it has ended.
        """
        if observation is self._given and self.is_plain:
            return  # the policy sees the object as it is now, even if the user has changed it
        if self.agent.handler is None:
            raise InvalidConfiguration(f"act() needs a policy, and <{self._owner}> has none: make it with policy=...")
        root = self.root
        if root is None:
            state = "there is no episode" if self._place is None else "the episode has ended"
            raise ResetNeeded(f"act(): {state}; call reset() first")
        if not same_action(observation, root.transition.observation):
            # A wrapper outside has changed the observation: the policy must see the changed one.
            transition = root.transition._replace(observation=own_copy(observation))
            self._go_on_from(dataclasses.replace(root, transition=transition))

    def take_decision(self, decision: Any) -> Any:
        """Keep the policy's ``decision`` for the next step, and return a copy of its action for the user."""
        self._acted = decision
        self._num_decisions += 1
        if self._num_decisions in LOOK_AFTER:
            self._policy_state.look()
        if self.verifying.is_wary:
            self.lend()
        return own_copy(action_of(decision))

    def begin_step(self, root: Deciding, action: Any) -> None:
        """Commit the decision to take ``action`` at ``root``.

        The decision is the policy's response if the user steps with its action, and the user's action otherwise.
        """
        acted, self._acted = self._acted, None
        if self.is_plain and root.agent.stateful is None:
            self.agent = root.agent
            self.plain.decided(root, action)
            return
        self.base = root.env
        self.verifying.begin()
        if acted is not None and (acted is action or same_action(action_of(acted), action)):
            answer = acted
        elif root.agent.stateful is None:
            answer = action
        else:  # a policy with state stays as its last decision left it, whether the user followed the decision or not
            answer = Decision(action, root.agent.stateful if acted is None else acted.policy)
        self.agent = root.agent.after(answer)
        if self.is_plain:
            self.plain.decided(root, answer)
            return
        if self.asks and self.trust.is_plain:
            return  # the tree would fork
        try:
            self.driver.commit(answer)
        except NotForkable as error:
            self.stop_speculating(str(error), failed=True)

    # -- the step ------------------------------------------------------------------------------------------------

    def adopt(self, stepped: Stepped) -> Transition:
        """Put the fork that has made the step in the place of an environment that does not ask for calls."""
        step = self.driver.root
        assert isinstance(step, Stepping)
        agrees = self.trust.agrees(step, stepped)
        self.driver.commit(stepped)
        self.env, self._stepped_s = stepped.env, stepped.seconds
        if not agrees:
            self.stop_speculating("a step that was made again on another fork had another outcome", failed=False)
        self.last = stepped.transition
        return private_copy_or_itself(stepped.transition, self._stop_for)

    def restart(self, transition: Transition, *, own: Transition | None = None, may_refuse: bool = False) -> Transition:
        """Go on from a fork of the real environment after ``transition``; ``own``: its copy, if there is one yet."""
        self.last = own = own or private_copy_or_itself(transition, self._stop_for)
        env = self.env if self.is_plain else self.snapshot(may_refuse)
        self._go_on_from(Deciding(env, self.agent, own, self.trust.steps))
        if self.is_plain and self.agent.handler is not None and not own.done:
            self._given = transition.observation
        return transition

    def snapshot(self, may_refuse: bool) -> AnyEnv:
        """A fork of the real environment; the environment itself if forks are not used, or if it cannot be forked."""
        if self.trust.is_plain:
            return self.env
        try:
            return fork(self.env)
        except NotForkable as error:
            if may_refuse:
                raise
            self.stop_speculating(str(error), failed=True)
            return self.env

    def _run_ahead(self, ahead: bool) -> None:
        """Run ahead or play plainly from now on, as the guard decides."""
        was_plain, place = self.is_plain, self._place
        self._turn(ahead)
        self.driver.pause(not ahead)
        if ahead:
            self.driver.guessing.learn_kept()
        while self.plain.made:
            self.driver.made(*self.plain.made.popleft())
        if self.is_plain == was_plain:
            self.driver.rebase(self.driver.root)
        elif place is not None:
            self._put(place, not self.is_plain)

    def _choose_loop(self) -> None:
        """Make plain steps on the event loop itself if they are quick, and otherwise beside the loop."""
        was_plain, place = self.is_plain, self._place
        self._are_steps_quick = self.plain.step_s < _SLOW_S if was_plain else self._stepped_s < _QUICK_S
        self._turn(self._ahead)
        if self.is_plain != was_plain and place is not None:
            self._put(place, was_plain)
            self.pacing.end_reset(is_leftover=False)

    def _put(self, place: Deciding, in_tree: bool) -> None:
        """Go on from ``place`` in the tree, or plainly."""
        try:
            # Calls that were given up may still use a snapshot, so no snapshot is ever stepped.
            env = fork(self.env) if in_tree or not self.asks else self.env
        except NotForkable as error:
            self.plain.place = dataclasses.replace(place, env=self.env)
            self._turn(False)
            self.stop_speculating(str(error), failed=True)
            return
        if in_tree:
            self.driver.rebase(dataclasses.replace(place, env=env))
            return
        self._given = _NOTHING
        self.driver.withdraw()
        self.env = env
        self.plain.place = dataclasses.replace(place, env=env)

    def _end_cycle(self, guard: Guard) -> None:
        """Show the cycle that has ended to the guard, and do what the guard decides for the next cycle."""
        before, pacing, guessing = guard.mode, self.pacing, self.driver.guessing
        pacing.end_cycle(is_warm=guessing.is_warm)
        if guard.mode is Mode.WARMING and before is not Mode.WARMING:
            guessing.warm()
        if not pacing.is_settled:
            self.plain.made.clear()
        changes = (guard.mode is Mode.AHEAD) != (before is Mode.AHEAD)
        pacing.begin_cycle(is_settled=not changes and (before is Mode.AHEAD or self.driver.is_idle))
        if changes:
            self._run_ahead(guard.mode is Mode.AHEAD)

    def stop_speculating(self, reason: str, *, failed: bool) -> None:
        """Have the environment make its steps itself from now on, and warn of this; see ``Trust.withdraw``."""
        place = self._place
        self.driver.pause(True)
        told = self.trust.withdraw(reason, failed=failed)
        self._turn(self._ahead)
        if self.is_plain:
            self.driver.rebase(None)
            self.plain.place = None if place is None else dataclasses.replace(place, env=self.env)
        if told is not None:  # last, since a warning may be turned into an error
            warn_user(told)

    def _stop_for(self, error: Exception) -> None:
        if not self.trust.is_plain:
            self.stop_speculating(str(error), failed=True)

    # -- what failed or was interrupted --------------------------------------------------------------------------

    def step_plainly(self, root: Deciding, action: Any) -> Transition:
        """Step the environment itself, without a fork."""
        method = stepping(action)
        try:
            if self.asks:
                return self.restart(self.run(method, self.answer_plainly))
            transition, own = self.plain.step(self.env, self.apart(method), self._stop_for)
            return self.restart(transition, own=own)
        except BaseException:
            self.step_again_from(root)
            raise

    def step_again_from(self, root: Deciding) -> None:
        """Go back to ``root``, before a step that failed; for environments that do not ask for calls."""
        if not self.closed and not self.driver.interrupted:
            self._go_on_from(dataclasses.replace(root, agent=self.agent))

    def checkpoint(self) -> Checkpoint:
        """Return where the episode stands between two steps."""
        return Checkpoint(self.agent, self._acted, self.root)

    def take_back(self, checkpoint: Checkpoint) -> None:
        """Go back to ``checkpoint``; calls made since then are dropped."""
        self.agent, self._acted = checkpoint.agent, checkpoint.acted
        self.plain.drop()
        self._go_on_from(checkpoint.root)

    # -- what the user gets --------------------------------------------------------------------------------------

    def step_result(self, transition: Transition) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Return what ``step`` returns."""
        observation, reward, terminated, truncated, info = transition
        result = observation, reward, terminated, truncated, self.info_of(info)
        if is_last := terminated or truncated:
            self.trace.tell_end(self.driver.now())
        guard = self.pacing.guard
        if guard is not None and not self.trust.is_plain and self.pacing.ends_cycle(is_last=is_last):
            self._end_cycle(guard)
        if self._can_turn_plain and self._awaited and not self.asks:
            self._choose_loop()
        if self.verifying.is_wary:
            self.lend()
        return result

    def reset_result(self, transition: Transition) -> tuple[Any, dict[str, Any]]:
        """Return what ``reset`` returns."""
        self.pacing.end_reset(is_leftover=not self.driver.is_idle)
        self.trace.add_observation(self.driver.now(), transition.observation)
        if self.verifying.is_wary:
            self.lend()
        return transition.observation, self.info_of(transition.info)

    def info_of(self, info: dict[str, Any] | None) -> dict[str, Any]:
        """Return the environment's ``info`` with ``"speculation"``: the counts since the last step."""
        return {**(info or {}), "speculation": self._ledger.counts_since()}
