"""`khupho demo`: the recorder, with cameras that are given, or with a small simulated street."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from khupho.clock import SystemClock
from khupho.commands.listen_option import listen_option
from khupho.commands.recorder import record
from khupho.commands.terminal import data_option, fail, json_option, make_data
from khupho.errors import Fault, KhuphoError
from khupho.recorder.camera_store import CameraStore, NewCamera
from khupho.recorder.camera_url import part_url
from khupho.recorder.secrets import load_sealer

STREET_NAMES = ("Cổng chính", "Hẻm 12", "Nhà xe tầng hầm", "Chợ đầu ngõ")
_STREET_IDS = tuple(f"demo-{number}" for number in range(1, len(STREET_NAMES) + 1))
_ENDING_S = 10.0


@click.command()
@click.option(
    "--camera", "cameras", metavar="URL", multiple=True, envvar="CAMERAS", show_envvar=True,
    help="Record this camera; may be repeated. [default: a simulated street of four]",
)  # fmt: skip
@listen_option
@data_option
@json_option
@click.pass_context
def demo(
    context: click.Context,
    cameras: tuple[str, ...],
    listen: tuple[str, int],
    data: Path,
    as_json: bool,
) -> None:
    """Try the recorder: with the cameras given, or with a simulated street of four.

    The cameras given are put on the list of DIR as cam-1, cam-2 and so on; run again with others,
    they take the place of those. Ctrl-C ends all in good order. For every day use `khupho recorder`.

    \b
    Examples:
      khupho demo --data ./data
      khupho demo --camera rtsp://admin:secret@192.168.1.20/1 --camera rtsp://192.168.1.21/main
    """
    try:
        store = CameraStore(make_data(data, as_json), load_sealer(data))
        with contextlib.ExitStack() as running:
            if cameras:
                _forget_street(store)
                _put(store, [(f"cam-{n}", f"Camera {n}", url) for n, url in _numbered(cameras)])
            else:
                addresses = running.enter_context(_street())
                _put(store, list(zip(_STREET_IDS, STREET_NAMES, addresses, strict=True)))
            record(context, data, listen, "text", as_json)
    except KhuphoError as error:
        fail(error, as_json)


def _numbered(cameras: Sequence[str]) -> Iterator[tuple[int, str]]:
    return enumerate(cameras, start=1)


def _put(store: CameraStore, wanted: Sequence[tuple[str, str, str]]) -> None:
    """Put cameras on the list; those of the same id get the new address, and keep their name."""
    known = {camera.id: camera for camera in store.load()}
    for camera_id, name, url in wanted:
        old = known.get(camera_id)
        new = NewCamera(old.name if old else name, part_url(url), id=camera_id)
        store.add(new, SystemClock().utc_us(), replace_existing=True)


def _forget_street(store: CameraStore) -> None:
    """A simulated street of an earlier run isn't there any more."""
    for camera in store.load():
        if camera.id in _STREET_IDS:
            store.remove(camera.id)


@contextlib.contextmanager
def _street() -> Iterator[list[str]]:
    """Simulated cameras as a child process; their addresses."""
    command = [
        sys.executable, "-P", "-m", "khupho.cli", "city", "cameras", "--json",
        "--count", str(len(STREET_NAMES)), "--listen", "127.0.0.1:0",
    ]  # fmt: skip
    # A session of its own, so that Ctrl-C ends the recorder first, while its cameras are still there.
    child = subprocess.Popen(  # noqa: S603 - this program itself
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        first = child.stdout.readline() if child.stdout is not None else ""
        if not first:
            raise KhuphoError(
                "The simulated street could not be started",
                advice="See why: khupho city cameras",
                fault=Fault.KHUPHO,
            )
        address = str(json.loads(first)["address"])
        # It tells its state every minute, and ends when nobody is there any more to read that.
        threading.Thread(target=_drain, args=(child.stdout,), daemon=True).start()
        yield [address.replace("NNNN", f"{n:04d}") for n in range(1, len(STREET_NAMES) + 1)]
    finally:
        child.terminate()
        try:
            child.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _drain(lines: Iterable[str] | None) -> None:
    for _line in lines or ():
        pass
