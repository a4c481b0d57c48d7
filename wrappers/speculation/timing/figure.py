"""The sentence about time: what was saved, by which measure, and how sure that is."""

from __future__ import annotations

from spec_envs.wrappers.speculation.timing.control import Control


def sentence_of(control: Control | None, saved: float, *, has_guard: bool, has_calls: bool, is_ahead: bool) -> str:
    """Whether the episode was faster or slower than the plain loop, in words.

    Args:
        control: The comparison with control cycles, if there were enough of them.
        saved: The time saved, compared with the calls' own durations.
        has_guard: Whether there is a guard, so that there are control cycles.
        has_calls: Whether the episode has made any call.
        is_ahead: Whether anything was guessed, prefetched or shared.
    """
    if not has_calls:
        return "no calls yet, so there is nothing to compare with"
    if control is None and not has_guard and not is_ahead:
        return "as the plain loop: nothing was predicted, and nothing made ahead of time"
    if control is not None and not control.ahead_cycles:
        return f"as the plain loop: of {control.cycles} steps none was speculative, as no gain was seen yet"
    if control is not None and not control.is_noisy:
        where = f"{control.control_cycles} control and {control.ahead_cycles} speculative steps of {control.cycles}"
        if control.low <= 0 <= control.high:
            ends = f"{control.low:+.1%} to {control.high:+.1%} saved"
            return f"faster or slower than plain, cannot tell: {ends}, by {where}"
        return f"{_compared(control.saved)} ({_ends(control)}, by {where})"
    measure = "against the calls' own durations"
    if control is not None:
        return f"{_compared(saved)}, {measure} (control is too noisy)"
    base = f"{saved:.1%} saved {measure}" if saved >= 0 else f"{_compared(saved)}, {measure}"
    return f"too few control or speculative steps to tell; {base}" if has_guard else f"{base}; no control steps"


def _compared(saved: float) -> str:
    if saved <= -1:
        return f"{1 - saved:.3g} times as long as plainly"
    return f"{'faster' if saved > 0 else 'slower'} than plain by {abs(saved):.1%}"


def _ends(control: Control) -> str:
    if control.saved <= -1:
        return f"{1 - control.high:.3g} to {1 - control.low:.3g} times"
    low, high = sorted((abs(control.low), abs(control.high)))
    return f"{100 * low:.1f} to {100 * high:.1f} %"
