"""The cameras of a recorder: `cameras.json`, readable by people, with the passwords sealed.

Version 1 is one object: `{"version": 1, "cameras": [...]}`. Unknown keys are refused rather than
lost on the next write. The file is replaced as a whole, and writers hold a lock meanwhile.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from khupho.durable_file import replace_file
from khupho.errors import Fault, KhuphoError
from khupho.recorder.camera_url import MAX_URL_CHARACTERS, part_url, whole_url
from khupho.recorder.secrets import Login, LoginSealer
from khupho.units import format_utc

CAMERAS_NAME = "cameras.json"
VERSION = 1
DEFAULT_DAYS = 30
MAX_DAYS = 3_660
_MAX_FILE_BYTES = 16 << 20
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

Transport = Literal["auto", "tcp", "udp"]
Stream = Literal["main", "sub"]


class CameraStoreError(KhuphoError):
    """The list of cameras cannot be read, or a change to it is not possible."""

    fault = Fault.USER


class StoredSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where one stream comes from."""

    url: str
    """Without name and password."""
    login: str = ""
    """Sealed; empty where the camera asks for none."""


class Camera(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One camera as it lies in the file."""

    id: str
    name: str
    main: StoredSource
    added_utc: str
    sub: StoredSource | None = None
    transport: Transport = "auto"
    audio: bool = False
    guaranteed_days: int = DEFAULT_DAYS
    maximum_days: int = DEFAULT_DAYS
    enabled: bool = True

    def sources(self) -> Iterator[tuple[Stream, StoredSource]]:
        """The streams to fetch."""
        yield "main", self.main
        if self.sub is not None:
            yield "sub", self.sub


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    cameras: list[Camera]


class _Version(msgspec.Struct):
    version: int


@dataclass(frozen=True, slots=True)
class NewCamera:
    """What a person says about a camera. Addresses may hold name and password; repr shows none."""

    name: str
    main: tuple[str, Login]
    """Address and login as `part_url` gives them."""
    sub: tuple[str, Login] | None = None
    id: str = ""
    transport: Transport = "auto"
    audio: bool = False
    guaranteed_days: int = DEFAULT_DAYS
    maximum_days: int | None = None


class CameraStore:
    """Reads and changes the list of cameras of one data directory."""

    def __init__(self, data: Path, sealer: LoginSealer) -> None:
        self.path = data / CAMERAS_NAME
        self._sealer = sealer

    def load(self) -> tuple[Camera, ...]:
        """The cameras, in the order they were added. Raises `CameraStoreError`."""
        return load_cameras(self.path)

    def find(self, wanted: str) -> Camera:
        """The camera of that id, or of that display name if only one has it."""
        return _find(self.load(), wanted)

    def login(self, camera: Camera, stream: Stream) -> Login:
        """The login of a stream; a sub stream without its own uses the main one's."""
        source = camera.main if stream == "main" else camera.sub
        if source is not None and source.login:
            return self._sealer.open(camera.id, stream, source.login)
        if stream == "sub" and camera.main.login:
            shared = self._sealer.open(camera.id, "main", camera.main.login)
            return Login(shared.user, shared.password)
        return Login()

    def address(self, camera: Camera, stream: Stream) -> tuple[str, Login]:
        """Address for the wire (with what the device wants inside it) and login of a stream."""
        source = camera.main if stream == "main" else camera.sub
        if source is None:
            raise CameraStoreError("This camera has no sub stream", where=camera.id)
        login = self.login(camera, stream)
        return whole_url(source.url, login), login

    def add(self, new: NewCamera, added_utc_us: int, *, replace_existing: bool = False) -> Camera:
        """Add a camera, or with `replace_existing` put new sources in an existing one's place."""
        maximum = new.maximum_days if new.maximum_days is not None else new.guaranteed_days
        camera_id = new.id or slug(new.name)
        camera = Camera(
            id=camera_id,
            name=new.name.strip(),
            main=self._source(camera_id, "main", new.main),
            sub=self._source(camera_id, "sub", new.sub) if new.sub is not None else None,
            added_utc=format_utc(added_utc_us),
            transport=new.transport,
            audio=new.audio,
            guaranteed_days=new.guaranteed_days,
            maximum_days=maximum,
        )
        _check(camera)

        def put(cameras: list[Camera]) -> None:
            for index, old in enumerate(cameras):
                if old.id != camera.id:
                    continue
                if not replace_existing:
                    raise CameraStoreError(
                        f"There is already a camera {camera.id!r} ({old.name})",
                        advice="Give another name or --id, or --replace to change this one",
                    )
                cameras[index] = msgspec.structs.replace(camera, added_utc=old.added_utc)
                return
            cameras.append(camera)

        self._change(put)
        return self.find(camera.id)

    def remove(self, wanted: str) -> Camera:
        """Take a camera off the list. Its footage is not touched."""
        camera = self.find(wanted)

        def take(cameras: list[Camera]) -> None:
            cameras[:] = [other for other in cameras if other.id != camera.id]

        self._change(take)
        return camera

    def set_enabled(self, wanted: str, enabled: bool) -> Camera:
        """Switch a camera off or on; it keeps its footage and its settings."""

        def put(cameras: list[Camera]) -> None:
            camera = _find(tuple(cameras), wanted)
            changed = msgspec.structs.replace(camera, enabled=enabled)
            cameras[cameras.index(camera)] = changed

        self._change(put)
        return self.find(wanted)

    def _source(self, camera: str, stream: Stream, part: tuple[str, Login]) -> StoredSource:
        url, login = part
        return StoredSource(url, self._sealer.seal(camera, stream, login) if login else "")

    def _change(self, change: Callable[[list[Camera]], None]) -> None:
        with _locked(self.path.with_suffix(".lock")):
            cameras = list(self.load())
            change(cameras)
            data = msgspec.json.format(msgspec.json.encode(_File(VERSION, cameras)), indent=2)
            try:
                replace_file(self.path, data + b"\n")
            except OSError as error:
                raise _disk_error(error, self.path) from error


def load_cameras(path: Path) -> tuple[Camera, ...]:
    """Read a `cameras.json`; none yet is an empty list. Raises `CameraStoreError`."""
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise CameraStoreError("The list of cameras is too large to be one", where=str(path))
        raw = path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise _disk_error(error, path) from error
    try:
        version = msgspec.json.decode(raw, type=_Version).version
        if version != VERSION:
            raise CameraStoreError(
                f"The list of cameras has version {version}; this program knows {VERSION}",
                where=str(path),
                advice="Run the newer khupho that wrote it",
            )
        cameras = tuple(msgspec.json.decode(raw, type=_File).cameras)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CameraStoreError(
            f"The list of cameras cannot be read: {error}",
            where=str(path),
            advice="Mend it by hand or restore it from a backup; nothing was changed",
        ) from error
    for camera in cameras:
        _check(camera)
    if len({camera.id for camera in cameras}) != len(cameras):
        raise CameraStoreError("Two cameras have the same id", where=str(path))
    return cameras


def slug(name: str) -> str:
    """An id for a display name: `Cổng chính số 1` becomes `cong-chinh-so-1`."""
    plain = unicodedata.normalize("NFD", name.replace("đ", "d").replace("Đ", "D"))
    ascii_only = plain.encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_only).strip("-")[:63].rstrip("-")


def _find(cameras: tuple[Camera, ...], wanted: str) -> Camera:
    named = [camera for camera in cameras if camera.name == wanted]
    for camera in cameras:
        if camera.id == wanted:
            return camera
    if len(named) == 1:
        return named[0]
    if named:
        ids = ", ".join(camera.id for camera in named)
        raise CameraStoreError(f"Several cameras are called {wanted!r}", advice=f"Say which: {ids}")
    known = ", ".join(camera.id for camera in cameras[:20])
    raise CameraStoreError(
        f"There is no camera {wanted!r}",
        advice=f"Known: {known}" if known else "No camera was added yet: khupho camera add",
    )


def _check(camera: Camera) -> None:
    if not _SLUG.fullmatch(camera.id):
        raise CameraStoreError(
            f"{camera.id!r} cannot be a camera's id",
            advice="Use small letters a-z, digits and dashes (--id cong-1), at most 63",
        )
    if not camera.name or len(camera.name) > 200 or not camera.name.isprintable():
        raise CameraStoreError(
            "A camera's name is one line of 1 to 200 characters", where=camera.id
        )
    for _stream, source in camera.sources():
        if len(source.url) > MAX_URL_CHARACTERS:
            raise CameraStoreError("An address is too long", where=camera.id)
        _url, login = part_url(source.url)
        if login.user or login.password:
            raise CameraStoreError(
                "A password stands openly in the list of cameras",
                where=camera.id,
                advice="Take it out of the address there and run: khupho camera add --replace",
            )
    if not 0 <= camera.guaranteed_days <= camera.maximum_days <= MAX_DAYS:
        raise CameraStoreError(
            "The guaranteed days may not be more than the maximum days",
            where=camera.id,
            advice=f"Both are whole days between 0 and {MAX_DAYS}",
        )


def _disk_error(error: OSError, path: Path) -> CameraStoreError:
    return CameraStoreError(
        f"The list of cameras cannot be used: {error.strerror}",
        where=str(path),
        advice="Check the data directory, its owner and the disk",
        fault=Fault.DISK,
    )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold other writers off: a person may add two cameras from two terminals."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _disk_error(error, path) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
