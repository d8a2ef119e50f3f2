"""A click group that suggests the command somebody meant and turns our errors into one line and an exit code."""

from __future__ import annotations

from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from benchmark.errors import AnonbenchError, EnvironmentProblem, did_you_mean


def one_line(error: AnonbenchError) -> click.ClickException:
    """An error meant for the user, with the exit code of its class."""
    shown = click.ClickException(" ".join(str(error).split()))
    shown.exit_code = error.exit_code  # type: ignore[misc]  # click declares it per class
    return shown


def broken(name: str, reason: str) -> click.Command:
    """What stands in for a command of another package that is of no use; the others go on working."""

    @click.command(name, short_help=f"({reason})", context_settings={"ignore_unknown_options": True})
    @click.argument("rest", nargs=-1)
    def command(rest: tuple[str, ...]) -> None:
        raise EnvironmentProblem(f"command '{name}' {reason}. Mend or uninstall its package")

    return command


class HelpfulGroup(click.Group):
    """Lists commands in the order of the street and answers a wrong one with the closest.

    Commands of single metrics or methods come from the entry points ``anonbench.commands``, after our own.
    """

    @cached_property
    def contributed(self) -> dict[str, EntryPoint]:
        """Commands that packages bring along, by name."""
        found = {point.name: point for point in sorted(entry_points(group="anonbench.commands"))}
        return {name: point for name, point in found.items() if name not in self.commands}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Commands in the order they were added, then those of other packages."""
        return [*self.commands, *self.contributed]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by name; those of other packages are imported when they are asked for."""
        if cmd_name not in self.contributed:
            return super().get_command(ctx, cmd_name)
        try:
            found = self.contributed[cmd_name].load()
        except Exception as error:  # noqa: BLE001 - a stranger's module may raise anything while it is imported
            return broken(cmd_name, f"cannot be imported: {type(error).__name__}: {error}")
        return found if isinstance(found, click.Command) else broken(cmd_name, "is not a click command")

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; what it finished before an error or an interrupt is kept."""
        try:
            return super().invoke(ctx)
        except AnonbenchError as error:
            raise one_line(error) from error
        except BrokenPipeError:  # whoever read our output has seen enough; click ends quietly
            raise
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise one_line(
                EnvironmentProblem(
                    f"{where}{error.strerror or error}. What was finished is kept; mend it and run the same command again"
                )
            ) from error
        except KeyboardInterrupt:
            click.echo("Stopped. What was finished is kept; run the same command again to go on.", err=True)
            ctx.exit(130)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds a command, or fails with a suggestion."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            hint = did_you_mean(args[0], self.list_commands(ctx))
            raise click.UsageError(f"no command is called '{args[0]}'.{hint} Try: anonbench --help", ctx)
        return super().resolve_command(ctx, args)
