"""Films and an archive to record them to."""

from __future__ import annotations

from pathlib import Path

import pytest
from viewing_footage import Film, Films, RealArchive, make_film


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Films:
    directory = tmp_path_factory.mktemp("films")
    made: dict[tuple[str, str], Film] = {}

    def film(codec: str, size: str = "192x144") -> Film:
        if (codec, size) not in made:
            made[codec, size] = make_film(directory, codec, size)
        return made[codec, size]

    return film


@pytest.fixture
def archive(tmp_path: Path) -> RealArchive:
    return RealArchive(tmp_path / "archive")
