"""`fastdata serve`."""

import asyncio

import click

from fastdata.cli.query import spare_pandas
from fastdata.cli.signals import on_signal

__all__ = ["serve"]


@click.command(short_help="Show metrics in a browser, and answer over HTTP.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen at; another one than of this machine needs FASTDATA_WEB_TOKEN.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8_000,
    show_default=True,
    help="Port to listen at; 0 for any that is free.",
)
@click.option("--quiet", is_flag=True, help="Say nothing but what goes wrong.")
def serve(host: str, port: int, *, quiet: bool) -> None:
    """Show metrics in a browser, and answer them over HTTP, until Ctrl-C.

    / has pages for people: charts that move as events come, and how the layers are. /api/docs lists
    the rest: GET /api/v1/metrics/NAME/query takes the words of `fastdata query`; rows come as JSON,
    CSV or Arrow. /api/v1/stream tells what changes as it does. /health/live and /health/ready are
    for who runs it.

    FASTDATA_WEB_TOKEN is what clients have to send, as "Authorization: Bearer ..."; with none, only
    this machine is listened to. A browser asks for it once. Needs the extra `web`.

    \b
    Examples:
      fastdata serve
      fastdata serve --port 8080
      FASTDATA_WEB_TOKEN=$(cat token) fastdata serve --host 0.0.0.0
      curl 'localhost:8000/api/v1/metrics/departures/query?last=24h&by=origin'
      curl -N localhost:8000/api/v1/stream
    """  # noqa: D301  (click wants the backspace)
    asyncio.run(_serve(host, port, is_quiet=quiet))


async def _serve(host: str, port: int, *, is_quiet: bool) -> None:
    from fastdata.declare.catalog import load_folder
    from fastdata.settings import Settings
    from fastdata.speed.files import raise_limit
    from fastdata.web import check_installed

    check_installed()
    from fastdata.web.app import make_app
    from fastdata.web.security import check_address
    from fastdata.web.serve import serve

    settings = Settings.load()
    check_address(host, settings.web_token.get_secret_value())
    app = make_app(settings, load_folder(settings.agents))
    spare_pandas()
    raise_limit()  # each reader of the stream is one
    stop = asyncio.Event()
    on_signal(stop.set)

    def ready(url: str) -> None:
        if not is_quiet:
            click.echo(f"serving at {url} (API: {url}/api/docs); Ctrl-C stops it")

    await serve(app, host, port, stop, ready)
    if not is_quiet:
        click.echo("stopped")
