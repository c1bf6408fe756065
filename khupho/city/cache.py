"""Where made clips are kept between runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def cache_directory() -> Path:
    """The user's cache directory of this program (XDG Base Directory 0.8), made if it isn't there."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(home) if home.startswith("/") else Path.home() / ".cache"
    directory = root / "khupho"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def cached(name: str, make: Callable[[Path], None], directory: Path | None = None) -> Path:
    """The file `name` of the cache; made if it isn't there, and never seen half made.

    `make` writes to the path that it is handed. Two processes may make the same one at once.
    """
    path = (directory or cache_directory()) / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.stem}.{os.getpid()}.part{path.suffix}")
        try:
            make(draft)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    return path
