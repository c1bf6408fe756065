"""What a stream's pictures usually look like: learnt, and then found whole by one regular expression."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from struct import Struct

from khupho.wire.rtp.fast_layouts import LAYOUTS, LONGEST_RUN, Layout, make_layout

Matcher = Callable[..., "re.Match[bytes] | None"]

_MARKER = 0x80
_END = 0x40
_MOST_FRONTS = 4
"""Kinds of pictures looked for: they differ in NAL type and in whether others refer to them."""
_MOST_PATIENCE = 4_096
_MOST_USUAL_BYTES = 9_000
"""A jumbo frame. Larger fragments are few, and one by one is fast enough for them."""
_BEFORE_DATA_BYTES = 17
"""Interleaved frame, RTP header, FU header; the payload header's bytes are those of the NAL header."""
_MOST_PUT_OFF_BYTES = 48 * 1024
_MOST_PUT_OFF_STEP_90K = 9_000
"""With the cut picture waits the whole one before it, which it ends: at ten pictures a second or more that
is not for long."""
_HEAD = Struct(">IH").pack


class UsualPictures:
    """Of pictures that come in fragments: what their first packets look like."""

    __slots__ = (
        "_enough", "_fronts", "_seen", "head", "headers", "layouts",
        "matcher", "size",
    )  # fmt: skip

    def __init__(self) -> None:
        self.size = 0
        """Bytes of the first packet, with its interleaved frame."""
        self.head = b"\0"
        """How that packet begins: frame, length, flags."""
        self.matcher: Matcher | None = None
        """Matches a whole picture, up to the last fragment's FU header."""
        self.headers: list[bytes] = []
        """NAL headers; the first is that of what matched the matcher's group 1."""
        self.layouts: list[Layout | None] = [None] * (LONGEST_RUN + 1)
        """By the number of fragments without the last."""
        self._fronts: list[bytes] = []
        self._seen = 0
        self._enough = 2

    def forget(self) -> None:
        """The stream is another one now."""
        self.size = self._seen = 0
        self._fronts, self.headers = [], []
        self.layouts = [None] * (LONGEST_RUN + 1)
        self.matcher = None

    def layout(self, count: int, header_bytes: int) -> Layout:
        """How so many fragments lie that go before the last one of a picture."""
        data_bytes = self.size - _BEFORE_DATA_BYTES - header_bytes
        key = data_bytes << 8 | count << 2 | header_bytes
        layout = LAYOUTS.get(key) or make_layout(header_bytes, data_bytes, count)
        self.layouts[count] = layout
        return layout

    def is_cut(self, raw: bytearray, position: int, end: int, timestamp: int) -> bool:
        """Whether at least the 12 bytes `raw[position:end]` are perhaps a picture made like these, soon
        after the one of that timestamp, of which the rest is still to come. Cheap, and no more than
        likely: who believes it wrongly only waits."""
        if end - position > _MOST_PUT_OFF_BYTES or not raw.startswith(self.head, position):
            return False
        step = int.from_bytes(raw[position + 8 : position + 12], "big") - timestamp
        flags = raw[position + 5 : end : self.size]
        without_last = flags.count(flags[0]) >= len(flags) - 1
        return step < _MOST_PUT_OFF_STEP_90K and without_last and flags[-1] & 0x7F == flags[0]

    def learn(self, frame: int, flags: int, size: int, tail: bytes, nal_header: bytes) -> None:
        """A picture begins with such a packet. Seen often enough, and it is what to look for.

        What is enough doubles with each pattern made, so that nobody makes us make one after the other.
        `frame`: the interleaved frame's first two bytes; `flags`: the RTP header's first two; `tail`:
        timestamp, source, payload header and FU header.
        """
        if size != self.size:
            self.forget()
            self.size = size
        front = tail[4:]
        is_full = len(self._fronts) == _MOST_FRONTS
        if front in self._fronts or is_full or size > _MOST_USUAL_BYTES:
            return
        self._seen += 1
        if self._seen >= self._enough:
            self._seen = 0
            self._enough = min(2 * self._enough, _MOST_PATIENCE)
            self._fronts.append(front)
            self.headers.append(nal_header)
            self.head = head = _HEAD(frame << 16 | size - 4, flags)
            self.matcher = _pictures(head, self._fronts, size - 12 - len(front)).match


def _pictures(head: bytes, fronts: Iterable[bytes], data_bytes: int) -> re.Pattern[bytes]:
    """A picture in fragments: a first slice's first one, any number of middle ones of the same size and
    time, and the last one as far as its FU header. Sequence numbers are left open.

    `head`: frame, length and flags of all but the last; `fronts`: source, payload header and FU header of
    the first. Each makes one alternative with one group.
    """
    begin, channel, flags = re.escape(head), re.escape(head[:2]), re.escape(head[4:5])
    types = _one_of(head[5], head[5] | _MARKER)
    alternatives = []
    for group, front in enumerate(fronts, 1):
        source, nal_type = re.escape(front[:-1]), front[-1] & 0x3F
        # The group's number stands in brackets: the source may begin with a digit.
        again = b"(?:\\%d)%b" % (group, source)
        first = b"(....)%b%b[\x80-\xff].{%d}" % (source, _one_of(front[-1]), data_bytes - 1)
        middle = b"%b..%b%b.{%d}" % (begin, again, _one_of(nal_type), data_bytes)
        last = b"%b..%b%b..%b%b" % (channel, flags, types, again, _one_of(nal_type | _END))
        alternatives.append(b"%b(?:%b){0,%d}+%b" % (first, middle, LONGEST_RUN - 1, last))
    return re.compile(b"%b..(?:%b)" % (begin, b"|".join(alternatives)), re.S)


def _one_of(*values: int) -> bytes:
    return b"[" + b"".join(b"\\x%02x" % value for value in values) + b"]"
