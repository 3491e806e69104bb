"""`fastdata topics`."""

import asyncio
import json
from typing import TYPE_CHECKING

import click

from fastdata.cli.groups import Commands
from fastdata.errors import did_you_mean

if TYPE_CHECKING:
    from fastdata.declare.source import Source
    from fastdata.settings import Settings
    from fastdata.speed.topics import NewlyMade

__all__ = ["topics"]


@click.group(cls=Commands, short_help="Create the topics of sources, and what stands beside them.")
def topics() -> None:
    """Create the topics of sources, and what stands beside them.

    The sources are those that ./agents (or FASTDATA_AGENTS) declare, the broker is FASTDATA_BROKER.

    \b
    Examples:
      fastdata topics create
      fastdata topics create --help
    """  # noqa: D301  (click wants the backspace)


@topics.command(short_help="Create the topics of sources that are not there yet.")
@click.argument("names", nargs=-1, metavar="[SOURCE]...")
@click.option(
    "--partitions",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Of a new topic of a source: as many as it shall ever have.",
)
@click.option(
    "--replication",
    type=click.IntRange(min=1),
    help="Copies of a new topic of a source. [default: 3, or one for each broker]",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def create(
    names: tuple[str, ...], partitions: int, replication: int | None, dry_run: bool, as_json: bool
) -> None:
    """Create the topics of sources (all, or those that are named) that are not there yet.

    For each source its topic, kept for 7 days, the one of its dead letters, kept for 30, and the
    compacted changelog of the workers' state, with the partitions and copies of the first, and
    min.insync.replicas=2 where there are three. What is there is checked and stays as it is.

    \b
    Examples:
      fastdata topics create --partitions 6
      fastdata topics create flights --dry-run
    """  # noqa: D301  (click wants the backspace)
    from fastdata.declare.catalog import load_folder
    from fastdata.settings import Settings

    settings = Settings.load()
    declared = load_folder(settings.agents).sources
    for name in names:
        if name not in declared:
            advice = did_you_mean(name, declared, f"there are: {', '.join(sorted(declared))}")
            raise click.UsageError(f"no source {name!r} is declared; {advice}")
    sources = [declared[name] for name in dict.fromkeys(names or sorted(declared))]
    made = asyncio.run(_create(settings, sources, partitions, replication, dry_run))
    if as_json:
        click.echo(json.dumps([_as_dict(topic) for topic in made]))
        return
    for report in made:
        topic = report.topic
        state = ("would be created" if dry_run else "created") if report.is_new else "is there"
        counts = f"partitions: {topic.partitions}, copies: {topic.replicas}"
        click.echo(f"{topic.name}: {state}, {counts}")


async def _create(
    settings: "Settings",
    sources: "list[Source]",
    partitions: int,
    replicas: int | None,
    is_dry: bool,
) -> "list[NewlyMade]":
    from fastdata.kafka.connection import Broker
    from fastdata.speed.topic_rules import changelog_topic
    from fastdata.speed.topics import TopicAdmin, create_topics

    broker = Broker.of(settings)
    await broker.check()
    made: dict[str, NewlyMade] = {}
    async with TopicAdmin(**broker.aiokafka()) as admin:
        for source in sources:
            changelog = changelog_topic(settings.application_id, source.name)
            for report in await create_topics(
                admin,
                source.topic,
                changelog,
                partitions=partitions,
                replicas=replicas,
                is_dry=is_dry,
            ):
                made.setdefault(report.topic.name, report)  # two sources may share a topic
    return list(made.values())


def _as_dict(made: "NewlyMade") -> dict[str, object]:
    topic = made.topic
    return {
        "topic": topic.name,
        "partitions": topic.partitions,
        "copies": topic.replicas,
        "created": made.is_new,
    }
