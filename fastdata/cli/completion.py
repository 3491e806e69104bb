"""`fastdata completion`, and the names that a shell completes."""

import ast
import os
import tomllib
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

import click

__all__ = ["complete_metric", "completion"]


@click.command(short_help="Print what has a shell complete commands, options and metrics.")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completion(shell: str) -> None:
    """Print what has SHELL complete commands, options and the names of metrics.

    Metrics are those of the files in ./agents (or FASTDATA_AGENTS), which are read and not run.

    \b
    Examples:
      eval "$(fastdata completion bash)"    # in ~/.bashrc
      eval "$(fastdata completion zsh)"    # in ~/.zshrc
      fastdata completion fish > ~/.config/fish/completions/fastdata.fish
    """  # noqa: D301  (click wants the backspace)
    from click.shell_completion import get_completion_class

    root = click.get_current_context().find_root()
    kind = get_completion_class(shell)
    if kind is not None:
        click.echo(kind(root.command, {}, "fastdata", "_FASTDATA_COMPLETE").source())


def complete_metric(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The names of metrics that begin so; it runs no code of users, and says nothing of mistakes.

    Names that are computed are not seen, and those of derived metrics only where they are asked.
    """
    kinds = ("Metric", "DerivedMetric") if ctx.info_name == "query" else ("Metric",)
    names: set[str] = set()
    # What cannot be read completes nothing: whoever presses a key wants no message.
    with suppress(OSError, ValueError):
        for file in sorted(_agents().glob("*.py")):
            with suppress(OSError, SyntaxError, ValueError, RecursionError):
                names.update(_metrics(file.read_text(encoding="utf-8"), kinds))
    return sorted(name for name in names if name.startswith(incomplete))


def _agents() -> Path:
    # As `Settings` has it, which takes a fifth of a second to load.
    if folder := os.environ.get("FASTDATA_AGENTS"):
        return Path(folder)
    file = Path("fastdata.toml")
    settings = tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return Path(str(settings.get("agents", "agents")))


def _metrics(code: str, kinds: Collection[str]) -> Iterator[str]:
    """The first arguments of what is called one of these, or those by name."""
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func
        name = called.id if isinstance(called, ast.Name) else called
        if name in kinds:
            named = [keyword.value for keyword in node.keywords if keyword.arg == "name"]
            for value in [*node.args[:1], *named]:
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield value.value
