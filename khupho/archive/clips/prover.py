"""What goes into a clip's report so that it proves itself: leaf numbers, tree hashes, a signed checkpoint."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence

from khupho.archive.clips.writing import CopiedFragment
from khupho.archive.proof.checkpoint import newest_checkpoint
from khupho.archive.proof.leaf_record import entry_hash, fragment_entry
from khupho.archive.proof.log import ProofLogReader
from khupho.archive.proof.signed_note import VerifierKey
from khupho.units import US_PER_MINUTE

PROOF_VERSION = 1
_FAR_US = 10 * US_PER_MINUTE
"""Fragments farther apart are looked for separately."""

StreamNumbers = Callable[[str, str], int | None]
"""`number(camera, stream)` in the proof log; None for a stream it doesn't know."""


class LogProver:
    """Proves fragments from the proof log as it stands at the newest checkpoint (`export.Prover`).

    For one thread, also beside a recorder.
    """

    def __init__(self, root_fd: int, numbers: StreamNumbers, key: VerifierKey | None) -> None:
        """`key` verifies the archive's checkpoints; it is told in the proof for whoever has none.

        Raises `AppendFileError`.
        """
        self._root_fd = root_fd
        self._numbers = numbers
        self._key = key
        self._log = ProofLogReader(root_fd)
        self.why_not = ""
        """Why the last call proved nothing, or not all."""

    def prove(
        self, camera: str, stream: str, fragments: Sequence[CopiedFragment]
    ) -> dict[str, object] | None:
        """The report's `proof`; None (and `why_not`) where the log proves none of them.

        `leaves` has a number for each fragment, or null for one that the log doesn't hold, or not yet at
        its newest checkpoint. Raises `AppendFileError`, `LeafDamagedError`.
        """
        self.why_not = ""
        number = self._numbers(camera, stream)
        newest = newest_checkpoint(self._root_fd)
        if number is None or newest is None or not newest.checkpoint.size:
            self.why_not = "nothing of this stream was signed yet"
            return None
        checkpoint = newest.checkpoint
        size = checkpoint.size
        if self._log.refresh() < size or self._log.root(size) != checkpoint.root:
            self.why_not = "the proof log isn't the one that was signed; run khupho archive check"
            return None
        leaves = self._leaves(camera, stream, number, fragments, size)
        found = sorted({leaf for leaf in leaves if leaf is not None})
        if not found:
            self.why_not = "no fragment of the clip is in the signed log yet"
            return None
        if len(leaves) > leaves.count(None) > 0:
            self.why_not = f"{leaves.count(None)} fragments are not in the signed log yet"
        return {
            "version": PROOF_VERSION,
            "tree_size": size,
            "leaves": leaves,
            "nodes": [base64.b64encode(node).decode() for node in self._log.bundle(found, size)],
            "checkpoint": newest.note.decode(),
            "key": str(self._key) if self._key is not None else None,
        }

    def close(self) -> None:
        self._log.close()

    def _leaves(
        self,
        camera: str,
        stream: str,
        number: int,
        fragments: Sequence[CopiedFragment],
        size: int,
    ) -> list[int | None]:
        wanted = {
            entry_hash(
                fragment_entry(camera, stream, fragment.beginning_sha256, fragment.header)
            ): index
            for index, fragment in enumerate(fragments)
        }
        leaves: list[int | None] = [None] * len(fragments)
        for start_us, stop_us in _spans(fragments):
            for found in self._log.find(number, start_us, stop_us):
                index = wanted.get(found.leaf.hash)
                # A fragment filed twice (late, after a kill) is proven by its first leaf.
                if index is not None and leaves[index] is None and found.number < size:
                    leaves[index] = found.number
        return leaves


def _spans(fragments: Sequence[CopiedFragment]) -> Iterator[tuple[int, int]]:
    """Spans of time that hold the starts of all fragments, few and tight."""
    starts = sorted(fragment.start_utc_us for fragment in fragments)
    first = last = starts[0]
    for start in starts[1:]:
        if start - last > _FAR_US:
            yield first, last + 1
            first = start
        last = start
    yield first, last + 1
