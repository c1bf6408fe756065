"""Parts of files on their way to a viewer: ranges, and an end when the session ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from litestar import Request
from litestar.datastructures import State
from litestar.response import Stream

from khupho.recorder.accounts.roles import Person
from khupho.recorder.http.door import Door
from khupho.recorder.http.problems import Problem, ProblemError
from khupho.recorder.http.ranges import ByteRange, RangeError, asked_range

Asked = Request[object, object, State]

CHUNK_BYTES = 256 * 1024
NO_STORE: Mapping[str, str] = {"cache-control": "private, no-store"}


class SentFile:
    """Something to read from, closed once whatever becomes of the answer.

    An answer whose viewer went before its first byte is never begun, so that nothing after it runs: then
    the file is closed when it is let go.
    """

    def __init__(
        self,
        size_bytes: int,
        read: Callable[[int, int], Awaitable[bytes]],
        close: Callable[[], None],
    ) -> None:
        self.size_bytes = size_bytes
        self._read = read
        self._close: Callable[[], None] | None = close

    def close(self) -> None:
        """May be called again."""
        close, self._close = self._close, None
        if close is not None:
            close()

    def __del__(self) -> None:
        self.close()

    async def pieces(self, part: ByteRange, door: Door, person: Person) -> AsyncIterator[bytes]:
        """The bytes of a part, until the session ends."""
        is_over = False

        def end() -> None:
            nonlocal is_over
            is_over = True

        forget = door.accounts.watch(person.session_id, end)
        begin = part.start
        try:
            while begin < part.end and not is_over:
                data = await self._read(begin, min(CHUNK_BYTES, part.end - begin))
                if not data:
                    return  # shorter than it was: the connection is cut, and the viewer asks anew
                yield data
                begin += len(data)
        finally:
            forget()
            self.close()


def answer(
    request: Asked,
    file: SentFile,
    media_type: str,
    door: Door,
    headers: Mapping[str, str],
) -> Stream:
    """The whole file, or the part that is asked for. Closes the file. Raises `ProblemError`."""
    try:
        part = _part(request, file.size_bytes, headers.get("etag", ""))
        person = door.known(request)
    except BaseException:
        file.close()
        raise
    sent = part or ByteRange(0, file.size_bytes)
    fields = {
        **NO_STORE,
        "accept-ranges": "bytes",
        "content-length": str(sent.size_bytes),
        **headers,
    }
    if part is not None:
        fields["content-range"] = f"bytes {part.start}-{part.end - 1}/{file.size_bytes}"
    return Stream(
        file.pieces(sent, door, person),
        media_type=media_type,
        status_code=206 if part else 200,
        headers=fields,
    )


def _part(request: Asked, size_bytes: int, tag: str) -> ByteRange | None:
    condition = request.headers.get("if-range", "")
    if condition and condition != tag:
        return None
    try:
        return asked_range(request.headers.get("range"), size_bytes)
    except RangeError:
        raise ProblemError(
            Problem("no-such-range", "The file has no such bytes", 416),
            {"content-range": f"bytes */{size_bytes}"},
        ) from None
