"""Steering a running city: a line of text in, a line of JSON out. On loopback only.

    fault camera-0003:drop=0.01     {"cameras": ["camera-0003"]}
    state                           {"cameras": 10, "connections": 3, "playing": 3, …}
    truth camera-0003 [sub] [FROM]  what its last session sent, access units from number FROM on
    faults                          the kinds of faults, and what they mean

A line that cannot be carried out is answered with {"error": …}.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
from dataclasses import asdict
from itertools import islice

from khupho.city.city import City, CityError
from khupho.city.faults import MEANINGS
from khupho.city.truth import SessionTruth
from khupho.errors import Fault, KhuphoError

MAX_LINE_BYTES = 1024
MAX_UNITS = 100_000
"""Access units told at once; ask again with FROM for the rest."""


class ControlError(KhuphoError):
    """A line to the control port cannot be carried out."""

    fault = Fault.USER


async def listen(city: City, host: str, port: int) -> asyncio.Server:
    """Take lines at that address. Raises `CityError` if it cannot be had or is not loopback."""
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    if not is_loopback:
        raise CityError("Faults are steered from this machine only", where=host)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await _line(reader):
                writer.write(json.dumps(answer(city, line)).encode() + b"\n")
                await writer.drain()
        writer.close()

    try:
        return await asyncio.start_server(serve, host, port, limit=MAX_LINE_BYTES)
    except OSError as error:
        raise CityError(
            f"Cannot listen: {error.strerror}",
            where=f"{host}:{port}",
            advice="Choose another address with --control",
        ) from error


async def _line(reader: asyncio.StreamReader) -> str:
    """The next line; empty at the end, or where one is longer than allowed."""
    try:
        data = await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        data = error.partial
    except asyncio.LimitOverrunError:
        return ""
    return data.decode("utf-8", "replace").strip() or ("?" if data else "")


def answer(city: City, line: str) -> object:
    """What a line is answered with, ready for JSON."""
    try:
        return _carry_out(city, line)
    except KhuphoError as error:
        return {"error": {"what": error.what, "where": error.where, "advice": error.advice}}


def _carry_out(city: City, line: str) -> object:
    words = line.split()
    match words:
        case ["fault", spec]:
            return {"cameras": city.apply(spec)}
        case ["state"]:
            return asdict(city.state())
        case ["faults"]:
            return {kind.value: meaning for kind, meaning in MEANINGS.items()}
        case ["truth", camera, *rest] if len(rest) <= 2:
            stream = "sub" if "sub" in rest else "main"
            numbers = [int(word) for word in rest if word.isdecimal() and len(word) < 16]
            truths = city.truths(camera, stream)
            return _truth(truths[-1], max(numbers, default=0)) if truths else None
    raise ControlError(
        "That is no command", where=line[:80], advice="fault SPEC, state, truth CAMERA, faults"
    )


def _truth(truth: SessionTruth, first_number: int) -> dict[str, object]:
    units = (unit for unit in truth.units() if unit.number >= first_number)
    return {
        "session": truth.session,
        "ssrc": truth.ssrc,
        "started_utc_us": truth.started_utc_us,
        "units": [unit._asdict() for unit in islice(units, MAX_UNITS)],
        "skipped": [skipped._asdict() for skipped in truth.skipped],
        "duplicated": list(truth.duplicated),
        "reordered": list(truth.reordered),
        "garbage_bytes": truth.garbage_bytes,
        "refused_datagrams": truth.refused_datagrams,
        "unsent_bytes": truth.unsent_bytes,
    }
