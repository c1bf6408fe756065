"""`docs/reference/cli.md` says what the commands say.

To write it anew: `.venv/bin/python tests/commands/test_cli_reference.py > docs/reference/cli.md`.
"""

from __future__ import annotations

from pathlib import Path

import click

from khupho.cli import cli

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"


def render(group: click.Group = cli, name: str = "khupho") -> str:
    """The help of a group and all beneath it, as Markdown."""
    # As `khupho` itself calls it.
    settings = {"terminal_width": 90, **cli.context_settings}
    _forget_help_option(group)
    context = click.Context(group, info_name=name, **settings)
    text = f"## {name}\n\n```text\n{group.get_help(context)}\n```\n"
    for part in group.list_commands(context):
        command = group.get_command(context, part)
        assert command is not None
        path = f"{name} {part}"
        if isinstance(command, click.Group):
            text += "\n" + render(command, path)
            continue
        _forget_help_option(command)
        inner = click.Context(command, info_name=path, **settings)
        text += f"\n### {path}\n\n```text\n{command.get_help(inner)}\n```\n"
    return text


def _forget_help_option(command: click.Command) -> None:
    """click remembers that of the first call, and another test may have called without `khupho`."""
    command._help_option = None


def whole_page() -> str:
    """The page as it should be."""
    return "# The command line\n\nMade from the commands' own help; a test compares.\n\n" + render()


def test_the_reference_is_what_the_commands_say() -> None:
    assert REFERENCE.read_text() == whole_page()


if __name__ == "__main__":
    print(whole_page(), end="")
