"""Every parser of hostile bytes under one name, as `run(data)`, with seeds to begin from.

A target swallows `KhuphoError` and nothing else: whatever else comes out is a bug. Both the hypothesis
tests and the atheris harness use these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from khupho.errors import KhuphoError


@dataclass(frozen=True)
class Target:
    """A parser, and bytes it knows."""

    name: str
    parse: Callable[[bytes], object]
    seeds: tuple[bytes, ...]

    def run(self, data: bytes) -> None:
        """Parse; only the project's own errors are swallowed."""
        try:
            self.parse(data)
        except KhuphoError as error:
            assert error.what
            str(error)


TARGETS: dict[str, Target] = {}


def target(
    name: str, *seeds: bytes
) -> Callable[[Callable[[bytes], object]], Callable[[bytes], object]]:
    """Register a parser under a name."""

    def register(parse: Callable[[bytes], object]) -> Callable[[bytes], object]:
        assert name not in TARGETS
        TARGETS[name] = Target(name, parse, seeds)
        return parse

    return register


def every_target() -> dict[str, Target]:
    """All targets, from all rooms."""
    import targets_archive
    import targets_media
    import targets_rtp
    import targets_wire

    del targets_archive, targets_media, targets_rtp, targets_wire
    return TARGETS
