"""The states of an RTSP session as a client sees it: one literal table (RFC 2326 appendix A.1)."""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """Where the session stands; named after the request whose answer is awaited."""

    IDLE = "idle"
    OPTIONS = "options"
    DESCRIBE = "describe"
    SETUP = "setup"
    PLAY = "play"
    PLAYING = "playing"
    TEARDOWN = "teardown"
    CLOSED = "closed"


class Step(Enum):
    """What moves the session on."""

    STARTED = "started"
    ANSWERED = "answered"
    """The awaited answer came and satisfies."""
    ANOTHER_TRACK = "another track"
    """One more SETUP is needed: for another track, or for the same one at another address."""
    LEAVING = "leaving"
    """We end it."""
    FAILED = "failed"
    """The device refused, broke a bound, or was silent too long."""


TRANSITIONS: dict[tuple[State, Step], State] = {
    (State.IDLE, Step.STARTED): State.OPTIONS,
    (State.OPTIONS, Step.ANSWERED): State.DESCRIBE,
    (State.DESCRIBE, Step.ANSWERED): State.SETUP,
    (State.SETUP, Step.ANOTHER_TRACK): State.SETUP,
    (State.SETUP, Step.ANSWERED): State.PLAY,
    (State.PLAY, Step.ANSWERED): State.PLAYING,
    (State.TEARDOWN, Step.ANSWERED): State.CLOSED,
    (State.IDLE, Step.LEAVING): State.CLOSED,
    (State.OPTIONS, Step.LEAVING): State.CLOSED,
    (State.DESCRIBE, Step.LEAVING): State.CLOSED,
    (State.SETUP, Step.LEAVING): State.TEARDOWN,
    (State.PLAY, Step.LEAVING): State.TEARDOWN,
    (State.PLAYING, Step.LEAVING): State.TEARDOWN,
    (State.TEARDOWN, Step.LEAVING): State.TEARDOWN,
    (State.CLOSED, Step.LEAVING): State.CLOSED,
    **{(state, Step.FAILED): State.CLOSED for state in State},
}


def diagram() -> str:
    """The table as a Mermaid state diagram, for the docs."""
    lines = ["stateDiagram-v2", "    [*] --> idle"]
    for (state, step), target in TRANSITIONS.items():
        if step is not Step.FAILED:
            lines.append(f"    {state.value} --> {target.value}: {step.value}")
    lines.append("    closed --> [*]")
    return "\n".join(lines)
