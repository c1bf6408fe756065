"""Errors as `application/problem+json` (RFC 9457): what happened, what it means, what to do next."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec
from litestar.types import ExceptionHandlersMap

from khupho.errors import Fault, KhuphoError
from khupho.recorder.accounts.account_errors import AccountError
from khupho.recorder.stills import StillError
from khupho.recorder.viewing.clip_file import NoFootageError
from khupho.recorder.viewing.library import LibraryBusyError

_PHRASES: Mapping[int, str] = {status.value: status.phrase for status in HTTPStatus}
MEDIA_TYPE = "application/problem+json"
_ACCOUNT_STATUS: Mapping[str, int] = {
    "wrong-sign-in": 401,
    "locked": 429,
    "busy": 503,
    "weak-password": 422,
    "bad-name": 422,
    "code-expired": 410,
    "name-taken": 409,
    "last-owner": 409,
    "not-found": 404,
    "forbidden": 403,
    "already-set-up": 409,
    "bad-passkey": 401,
    "too-many": 409,
}
_FAULT_STATUS: Mapping[Fault, int] = {Fault.USER: 400, Fault.DISK: 503, Fault.ARCHIVE: 503}

logger = logging.getLogger("khupho.recorder.http")


class Problem(msgspec.Struct, frozen=True):
    """The body of every error."""

    type: str
    """A stable word, for programs and for the page's own words."""
    title: str
    """What happened."""
    status: int
    detail: str = ""
    """What it means, or where."""
    advice: str = ""
    """What to do next."""


FAILURES: Mapping[int, ResponseSpec] = {
    status: ResponseSpec(Problem, False, description, MEDIA_TYPE)
    for status, description in {
        400: "The request cannot be understood",
        401: "Nobody is signed in, or the sign-in is wrong",
        403: "The account may not do this, or the request comes from another site",
        404: "There is none, or none for this account",
        409: "It does not fit what there is",
        410: "The link is not valid any longer",
        413: "The request is too large",
        416: "The file has no such bytes",
        422: "The name or password is not good enough",
        429: "Too many tries",
        500: "This program failed",
        503: "Too much is asked for at once, or the disk does not answer",
    }.items()
}
"""What any route may answer, for the published contract."""


class ProblemError(Exception):
    """A request that cannot be answered as it was made."""

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem.title)
        self.problem = problem
        self.headers = dict(headers or {})


def not_signed_in() -> ProblemError:
    """Nobody is known to ask."""
    return ProblemError(
        Problem("not-signed-in", "You are not signed in", 401, advice="Sign in, and try again")
    )


def forbidden() -> ProblemError:
    """The account may not do this."""
    return ProblemError(
        Problem(
            "forbidden",
            "Your account may not do this",
            403,
            advice="Ask an owner of this recorder for the right",
        )
    )


def no_such_camera() -> ProblemError:
    """Unknown, or not for this account; who asks isn't told which."""
    return ProblemError(
        Problem("no-such-camera", "There is no such camera, or it isn't shared with you", 404)
    )


_Asked = Request[object, object, State]


def _answer(problem: Problem, headers: Mapping[str, str]) -> Response[bytes]:
    return Response(
        msgspec.json.encode(problem),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers={"cache-control": "no-store", **headers},
    )


def _own(_request: _Asked, error: ProblemError) -> Response[bytes]:
    return _answer(error.problem, error.headers)


def _account(_request: _Asked, error: AccountError) -> Response[bytes]:
    headers = {}
    if error.retry_after_s:
        headers["retry-after"] = str(error.retry_after_s)
    status = _ACCOUNT_STATUS.get(error.kind, 400)
    return _answer(Problem(error.kind, error.what, status, error.where, error.advice), headers)


def _khupho(_request: _Asked, error: KhuphoError) -> Response[bytes]:
    if isinstance(error, NoFootageError):
        return _answer(Problem("no-footage", error.what, 404, "", error.advice), {})
    if isinstance(error, (LibraryBusyError, StillError)):
        return _answer(Problem("busy", error.what, 503, "", error.advice), {"retry-after": "2"})
    status = _FAULT_STATUS.get(error.fault, 500)
    if status >= 500:
        logger.warning("A request failed: %s", error)
    return _answer(Problem(error.fault.value, error.what, status, "", error.advice), {})


def _http(_request: _Asked, error: HTTPException) -> Response[bytes]:
    status = error.status_code
    phrase = _PHRASES.get(status, "Error")
    detail = error.detail if isinstance(error, ValidationException) else ""
    return _answer(
        Problem(phrase.lower().replace(" ", "-"), phrase, status, detail), error.headers or {}
    )


def _bug(request: _Asked, error: Exception) -> Response[bytes]:
    logger.exception("A request met a bug: %s", request.url.path, exc_info=error)
    return _answer(
        Problem(
            "bug",
            "This program failed",
            500,
            advice="Recording goes on. Please report it with the log's lines",
        ),
        {},
    )


PROBLEMS: ExceptionHandlersMap = {
    ProblemError: _own,
    AccountError: _account,
    KhuphoError: _khupho,
    HTTPException: _http,
    Exception: _bug,
}
