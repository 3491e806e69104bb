"""The `fastdata` command: finds the subcommands, and turns errors into one line."""

import os
import sys
from importlib import import_module
from typing import NoReturn, cast

import click
import stamina
from click.shell_completion import CompletionItem

from fastdata.cli.groups import CommandGroup
from fastdata.cli.signals import SUPERVISED, exit_code
from fastdata.errors import FastdataError, mask_url, said_of

__all__ = ["commands", "main"]

_SUMMARIES = {
    "alerts": "Judge alerts, and tell what opens and closes.",
    "archive": "Copy the events of all sources from Kafka to the archive.",
    "compare": "Compare two selections: sets of values, or the lift of an experiment.",
    "completion": "Print what has a shell complete commands, options and metrics.",
    "dead-letters": "List what could not be read, and send it again.",
    "demo": "See it all work on 336,776 real events, with nothing else installed.",
    "dev": "Run everything for the project in this folder.",
    "doctor": "Check that all that fastdata needs is there and set right.",
    "epoch": "Count a topic on that was made again or moved to another cluster.",
    "export": "Keep a flat table of a metric up to date, for BI tools.",
    "init": "Make a project from a file of your own events.",
    "mcp": "Let an assistant ask for metrics and how the layers are.",
    "query": "Answer a metric over an interval.",
    "replay": "Count an interval again from the archive, exactly.",
    "schema": "Register schemas, and check whether old events can still be read.",
    "send": "Send lines of a file, a pipe or TCP connections to a topic.",
    "serve": "Show metrics in a browser, and answer over HTTP.",
    "size": "Calculate disks, rows, memory and workers for a load.",
    "status": "Show how far each layer is, and what it left out.",
    "topics": "Create or list the topics of sources, and what stands beside them.",
    "verify": "Compare both layers with a plain recount, and say why they differ.",
    "worker": "Fold events into fresh numbers, as they come.",
}


class _Commands(CommandGroup):
    """A group that imports a command only when it is called."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """What may come next; no command is imported for its help."""
        items = [CompletionItem(name, help=_SUMMARIES[name]) for name in sorted(_SUMMARIES)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [item for item in items if item.value.startswith(incomplete)] + options

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _SUMMARIES:
            return None
        name = cmd_name.replace("-", "_")
        return cast("click.Command", getattr(import_module(f"fastdata.cli.{name}"), name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_SUMMARIES.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fastdata-lambda", message="%(prog)s %(version)s")
def commands() -> None:
    """Real-time analytics on Kafka: fresh within a second, exact after a replay.

    Settings are FASTDATA_* environment variables, or a fastdata.toml in the working folder.

    \b
    Examples:
      fastdata demo
      fastdata worker
      fastdata query departures --from 2013-01-01 --to 2013-02-01 --every 1d --by origin
      fastdata status
    """  # noqa: D301  (click wants the backspace)


def main() -> NoReturn:
    """Run the command line and exit: 0 done, 1 failed, 2 called wrongly, 130 or 143 interrupted.

    An error of fastdata is one message on stderr; FASTDATA_DEBUG=1 shows where it came from.
    """
    if os.environ.pop(SUPERVISED, ""):
        from fastdata.cli.supervisor import end_with_supervisor

        end_with_supervisor()
    # Whoever tries again says so in words of its own.
    stamina.instrumentation.set_on_retry_hooks(())
    try:
        result = commands.main(prog_name="fastdata", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(exit_code())
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (FastdataError, OSError, ExceptionGroup) as error:
        _fail(error)
    sys.exit(result if isinstance(result, int) else 0)


def _fail(error: Exception) -> NoReturn:
    cause: BaseException = error
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    if os.environ.get("FASTDATA_DEBUG") or not isinstance(cause, FastdataError | OSError):
        raise error
    click.echo(f"fastdata: {mask_url(said_of(cause))}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
