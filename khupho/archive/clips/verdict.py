"""What is said of a clip that was held against its report and its proof."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class ClipVerdict:
    """What was found, in plain words."""

    problems: list[str] = field(default_factory=list)
    """What contradicts the proof: the clip or the report was changed."""
    proven: list[str] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)
    """What nothing speaks against, and nothing proves."""
    fragments: int = 0
    whole_fragments: int = 0
    """The others are parts, at the ends of a progressive clip."""
    proven_fragments: int = 0
    signed_by: str = ""
    """The verifier key that the signature was checked with."""
    key_was_given: bool = False
    """By the asker; else it is the report's own word."""

    @property
    def is_proven(self) -> bool:
        """Every whole fragment is proven and nothing contradicts. With the report's own key that means
        only that report and clip agree."""
        return not self.problems and self.whole_fragments == self.proven_fragments > 0

    def fields(self) -> dict[str, object]:
        """For JSON."""
        return {
            "proven": self.is_proven,
            "problems": self.problems,
            "proves": self.proven,
            "leaves_open": self.unproven,
            "fragments": self.fragments,
            "whole_fragments": self.whole_fragments,
            "proven_fragments": self.proven_fragments,
            "key": self.signed_by,
            "key_was_given": self.key_was_given,
        }
