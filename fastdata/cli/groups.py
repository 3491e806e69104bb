"""Groups of commands that say what a misspelt one may be."""

import click

from fastdata.errors import did_you_mean

__all__ = ["CommandGroup"]


class CommandGroup(click.Group):
    """A group that knows what a misspelt command may be."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments begin with."""
        names = self.list_commands(ctx)
        is_wrong = args and args[0] not in names and not args[0].startswith("-")
        if is_wrong and not ctx.resilient_parsing:  # as when a shell completes
            advice = did_you_mean(args[0], names, "-h lists them")
            ctx.fail(f"there is no command {args[0]!r}; {advice}")
        return super().resolve_command(ctx, args)
