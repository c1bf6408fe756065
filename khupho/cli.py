"""`khupho`: the command line. Families are imported only when asked for, so that help is quick."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

from khupho.commands.terminal import EXIT_CANCELLED

_COMMANDS: dict[str, tuple[str, str]] = {
    "archive": ("khupho.commands.archive:archive", "Footage: list, export, hold, check, verify."),
    "camera": ("khupho.commands.camera:camera", "Add, test, list, switch and remove cameras."),
    "city": ("khupho.city.command:city", "Simulated cameras, for trying and testing."),
    "demo": ("khupho.commands.demo:demo", "Try it: with your cameras, or a simulated street."),
    "doctor": ("khupho.commands.doctor:doctor", "What is missing or weak on this machine."),
    "recorder": ("khupho.commands.recorder:recorder", "Record, and show how it goes."),
    "settings": ("khupho.commands.settings:settings", "Show and set the few settings."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, not when they are listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        place = _COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place[0].partition(":")
        command = getattr(importlib.import_module(module), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{place[0]} is not a command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # click's own suggestion would need every command's module; the names are enough.
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"There is no command {args[0]!r}. Known: {', '.join(_COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_place, text) in _COMMANDS.items()])


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from importlib.metadata import version

    click.echo(f"khupho {version('khupho')}")
    ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
    help="Show the version and leave.",
)  # fmt: skip
def cli() -> None:
    """Khu Phố records community cameras: the footage is there, and it is true.

    \b
    To begin:
      khupho demo --data ./data
      khupho camera test rtsp://192.168.1.20/Streaming/Channels/101
      khupho camera add "Cổng chính" rtsp://192.168.1.20/Streaming/Channels/101 --data ./data
      khupho recorder --data ./data

    Exit codes: 0 well, 1 problems found or failed, 2 wrong usage, 130 cancelled.
    """


def main(args: Sequence[str] | None = None) -> None:
    """The entry point. Ctrl-C ends any command with exit code 130 and no traceback."""
    try:
        outcome: Any = cli.main(args=args, prog_name="khupho", standalone_mode=False)
    except click.Abort:
        click.echo("Cancelled.", err=True)
        sys.exit(EXIT_CANCELLED)
    except KeyboardInterrupt:
        click.echo("Cancelled.", err=True)
        sys.exit(EXIT_CANCELLED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read the output has left (`| head`); nothing more can be said to anybody.
        sys.stderr.close()
        sys.exit(0)
    sys.exit(outcome if isinstance(outcome, int) else 0)


if __name__ == "__main__":
    main()
