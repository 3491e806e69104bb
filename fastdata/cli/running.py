"""Settings of commands that ask the broker, also where it is that of `fastdata dev`."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fastdata.settings import Settings

__all__ = ["settings_here"]


def settings_here() -> "Settings":
    """The settings, with the embedded broker of a `fastdata dev` that runs here; that is said.

    Raises:
        SettingsError: A setting is wrong.
    """
    from fastdata.local.running import find_running, with_running
    from fastdata.settings import Settings

    settings = Settings.load()
    if running := find_running(settings):
        click.echo(f"fastdata: {running}", err=True)
    return with_running(settings)
