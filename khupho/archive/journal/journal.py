"""The journal: facts that cannot be read from segments, one JSON object a line, never changed.

`{"seq":1,"utc":"2026-11-24T04:16:01.000250Z","kind":"start",…}` in UTF-8 without spaces; `seq` counts from 1
without a hole, `utc` is footage time. See `entries` for the kinds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from khupho.archive.journal.entries import (
    BrokenEntry,
    Entry,
    Line,
    StreamNumber,
    decode_line,
    encode_line,
)
from khupho.archive.place.append_file import (
    MAX_UNSYNCED_BYTES,
    AppendFile,
    disk_error,
    open_to_read,
    read_at,
)
from khupho.errors import Fault, KhuphoError
from khupho.units import US_PER_HOUR

JOURNAL_NAME = "journal.jsonl"
MAX_LINE_BYTES = 64 << 10
_CHUNK_BYTES = 1 << 20
_SECTOR_BYTES = 512
_LONGEST_UNSYNCED_US = US_PER_HOUR


class JournalError(KhuphoError):
    """The journal is damaged, or a line doesn't fit it."""

    fault = Fault.ARCHIVE


class Journal:
    """The journal's one writer."""

    def __init__(self, root_fd: int) -> None:
        """Open or create it. What a power cut left of a last line is cut away (`cut_bytes`).

        Raises `AppendFileError`, `JournalError`.
        """
        self._next_seq = 1
        self._file = AppendFile(root_fd, JOURNAL_NAME, self._whole_bytes)

    @property
    def cut_bytes(self) -> int:
        """Of the torn end, cut away at opening."""
        return self._file.cut_bytes

    @property
    def next_seq(self) -> int:
        return self._next_seq

    @property
    def size_bytes(self) -> int:
        return self._file.size_bytes

    @property
    def synced_bytes(self) -> int:
        """Lines that end before are on the disk."""
        return self._file.synced_bytes

    def append(self, entry: Entry, utc_us: int) -> Line:
        """Add a line to the buffer; returns it as it will stand. Raises `JournalError` for one too long or
        with text that is no Unicode, `AppendFileError` where the disk has confirmed nothing for too long."""
        try:
            data = encode_line(self._next_seq, utc_us, entry)
        except UnicodeEncodeError as error:
            raise JournalError(
                "The text cannot be written: it is no Unicode", fault=Fault.USER
            ) from error
        if len(data) > MAX_LINE_BYTES:
            raise JournalError(
                f"A journal line of {len(data)} bytes is too long", where=type(entry).__name__,
                fault=Fault.KHUPHO,
            )  # fmt: skip
        offset = self._file.size_bytes
        self._file.append(data + b"\n")
        line = Line(self._next_seq, utc_us, entry, offset, data)
        self._next_seq += 1
        return line

    def write(self) -> None:
        """Let readers see all lines. Raises `AppendFileError`; they are kept for the next try."""
        self._file.write()

    def sync(self) -> None:
        """Bring all lines to the disk. Raises `AppendFileError`; they are kept for the next try."""
        self._file.sync()

    def reopen(self, root_fd: int) -> None:
        """Go on after the disk was away. Raises `AppendFileError`."""
        self._file.reopen(root_fd)

    def close(self) -> None:
        """Let the file go; call `sync` first."""
        self._file.close()

    def _whole_bytes(self, file: int, size: int) -> int:
        """Where the last readable line ends; takes up its number."""
        span = _CHUNK_BYTES
        while True:
            start = max(size - span, 0)
            data = read_at(file, start, size - start)
            end = data.rfind(b"\n") + 1
            while end:
                begin = data.rfind(b"\n", 0, end - 1) + 1
                if begin == 0 and start:
                    break  # the line may begin before what was read
                line = decode_line(data[begin : end - 1])
                if line.seq > 0:
                    self._next_seq = line.seq + 1
                    return start + self._before_hole(data, start, end, line.utc_us)
                end = begin
            if start == 0:
                return 0
            if span >= MAX_UNSYNCED_BYTES:
                raise JournalError(
                    "The journal's end is damaged for longer than a power cut explains",
                    where=f"{JOURNAL_NAME}, from byte {start} on",
                    advice="Keep a copy of the file, then restore it from a backup",
                )
            span *= 4

    def _before_hole(self, data: bytes, start: int, end: int, newest_us: int) -> int:
        """Where whole lines end if a power cut took a sector out of the unsynced ones and left a later
        one: before the first hole. `end` where there is none.

        A sector of zeros in lines that were synced long ago is damage, and stays: nothing that stands
        behind it may be lost.
        """
        hole = data.find(b"\0", 0, end)
        if hole < 0:
            return end
        cut = data.rfind(b"\n", 0, hole) + 1
        filled = hole + len(data[hole:end]) - len(data[hole:end].lstrip(b"\0"))
        if (start + filled) % _SECTOR_BYTES and filled < end:
            return end
        behind = [decode_line(one) for one in data[cut : end - 1].split(b"\n")]
        oldest_us = min((line.utc_us for line in behind if line.seq > 0), default=newest_us)
        if newest_us - oldest_us > _LONGEST_UNSYNCED_US:
            return end
        before = decode_line(data[data.rfind(b"\n", 0, cut - 1) + 1 : cut - 1]) if cut else None
        if before is None and not start:
            self._next_seq = 1
        elif before is not None and before.seq > 0:
            self._next_seq = before.seq + 1
        else:
            return end
        return cut


def read_journal(root_fd: int, offset: int = 0) -> Iterator[Line]:
    """The whole lines from a line's offset on, also beside a writer; nothing where there is no journal.

    A line that cannot be read comes as a `BrokenEntry`; an end without a line feed (torn, or being
    written) isn't told. Raises `AppendFileError` where the disk doesn't give it.
    """
    try:
        file = open_to_read(root_fd, JOURNAL_NAME)
    except FileNotFoundError:
        return
    except OSError as error:
        raise disk_error("The journal cannot be opened", JOURNAL_NAME, error) from error
    try:
        yield from _lines(file, offset)
    except OSError as error:
        raise disk_error("The journal cannot be read", JOURNAL_NAME, error) from error
    finally:
        os.close(file)


def numbers_of(root_fd: int) -> dict[tuple[str, str], int]:
    """Stream numbers as the journal gives them. Raises `AppendFileError`."""
    numbers: dict[tuple[str, str], int] = {}
    for line in read_journal(root_fd):
        if isinstance(line.entry, StreamNumber):
            numbers.setdefault((line.entry.camera, line.entry.stream), line.entry.number)
    return numbers


def _lines(file: int, offset: int) -> Iterator[Line]:
    rest = b""
    overlong_bytes = 0
    """Already dropped of a line that doesn't end."""
    while chunk := os.pread(file, _CHUNK_BYTES, offset + overlong_bytes + len(rest)):
        *whole, rest = (rest + chunk).split(b"\n")
        for data in whole:
            size = overlong_bytes + len(data)
            if size > MAX_LINE_BYTES:
                told = BrokenEntry(f"it is {size} bytes long")
                yield Line(-1, 0, told, offset, data[:MAX_LINE_BYTES])
            else:
                yield decode_line(data, offset)
            offset += size + 1
            overlong_bytes = 0
        if len(rest) > MAX_LINE_BYTES:
            overlong_bytes += len(rest)
            rest = b""
