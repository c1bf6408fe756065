"""How commands speak: results on stdout (text or `--json`), errors and questions on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from khupho.errors import KhuphoError

EXIT_PROBLEMS = 1
EXIT_CANCELLED = 130

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class CommandFailed(click.ClickException):
    """A command could not do what it was asked for. Exit code 1; as JSON if that was asked for."""

    exit_code = EXIT_PROBLEMS

    def __init__(self, error: KhuphoError, as_json: bool) -> None:
        super().__init__(str(error))
        self._error = error
        self._as_json = as_json

    def show(self, file: Any = None) -> None:
        error = self._error
        if self._as_json:
            fields = {
                "fault": error.fault.value,
                "what": error.what,
                "where": error.where,
                "advice": error.advice,
            }
            print_json({"error": fields})
            return
        click.secho(
            error.what + (f" ({error.where})" if error.where else ""), fg="red", file=file, err=True
        )
        if error.advice:
            click.echo(error.advice, file=file, err=True)


def data_option(command: Decorated) -> Decorated:
    """`--data DIR`: where this recorder keeps its settings, and by default its footage."""
    return click.option(
        "--data",
        metavar="DIR",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="KHUPHO_DATA",
        default=Path("khupho-data"),
        show_default=True,
        show_envvar=True,
        help="Directory of the recorder: cameras, settings, keys, footage.",
    )(command)


def json_option(command: Decorated) -> Decorated:
    """`--json`: machine-readable output."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def print_json(value: object) -> None:
    """One JSON value on stdout."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns on stdout, as wide as they need."""
    lines = [list(heads), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    for number, line in enumerate(lines):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.secho(text.rstrip(), bold=number == 0)


def existing_data(data: Path, as_json: bool) -> Path:
    """The data directory, which must exist."""
    if not data.is_dir():
        fail(
            KhuphoError(
                "There is no recorder in that directory",
                where=str(data),
                advice="Name it with --data or KHUPHO_DATA; `khupho camera add` makes a new one",
            ),
            as_json,
        )
    return data


def make_data(data: Path, as_json: bool) -> Path:
    """The data directory, made if it isn't there: for its owner's eyes only."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        fail(
            KhuphoError(
                f"The data directory cannot be made: {error.strerror}",
                where=str(data),
                advice="Choose another with --data, or make it and give it to this user",
            ),
            as_json,
        )
    return data


def fail(error: KhuphoError, as_json: bool) -> NoReturn:
    """End the command with exit code 1 and the error in plain words."""
    raise CommandFailed(error, as_json)
