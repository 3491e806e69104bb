"""`fastdata topics`."""

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from fastdata.cli.groups import CommandGroup
from fastdata.errors import did_you_mean

if TYPE_CHECKING:
    from fastdata.declare.source import Source
    from fastdata.settings import Settings
    from fastdata.speed.topics import NewlyMade

__all__ = ["create_missing", "topics"]

_CONFIG = (
    "cleanup.policy", "retention.ms", "min.compaction.lag.ms", "max.message.bytes",
    "min.insync.replicas",
)  # fmt: skip


@click.group(
    cls=CommandGroup,
    short_help="Create or list the topics of sources, and what stands beside them.",
)
def topics() -> None:
    """Create or list the topics of sources, and what stands beside them.

    The sources are those that ./agents (or FASTDATA_AGENTS) declare, the broker is FASTDATA_BROKER.

    \b
    Examples:
      fastdata topics create
      fastdata topics create --help
      fastdata topics list
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

    For each source its topic, kept for 7 days, the one of its dead letters, kept for 30, the
    compacted changelog of the workers' state, and the one that its events are sent on to, if there
    is one, with the partitions and copies of the first, and min.insync.replicas=2 where there are
    three. What is there is checked and stays as it is.

    \b
    Examples:
      fastdata topics create --partitions 6
      fastdata topics create flights --dry-run
    """  # noqa: D301  (click wants the backspace)
    settings, sources = _chosen(names)
    made = asyncio.run(create_missing(settings, sources, partitions, replication, is_dry=dry_run))
    if as_json:
        click.echo(json.dumps([_as_dict(topic) for topic in made]))
        return
    for report in made:
        topic = report.topic
        state = ("would be created" if dry_run else "created") if report.is_new else "is there"
        counts = f"partitions: {topic.partitions}, copies: {topic.replicas}"
        click.echo(f"{topic.name}: {state}, {counts}")


@topics.command(name="list", short_help="List the topics of sources, and what is wrong with them.")
@click.argument("names", nargs=-1, metavar="[SOURCE]...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_topics(names: tuple[str, ...], as_json: bool) -> None:
    """List the topics of sources (all, or those that are named), and what is wrong with them.

    Those of a source, with its changelog and dead letters: partitions, copies, configuration as far
    as it matters, and the command that mends what would lose events. Exit code 1 when one is
    missing, or has such a flaw.

    \b
    Examples:
      fastdata topics list
      fastdata topics list flights --json
    """  # noqa: D301  (click wants the backspace)
    settings, sources = _chosen(names)
    reports = asyncio.run(_inspect(settings, sources))
    if as_json:
        click.echo(json.dumps(reports, indent=2))
    for report in () if as_json else reports:
        config = "".join(f", {name}={value}" for name, value in report["config"].items())
        counts = f"partitions: {report['partitions']}, copies: {report['copies']}{config}"
        click.echo(f"{report['topic']}: {counts if report['is_there'] else 'is missing'}")
        for flaw in report["flaws"]:
            click.echo(f"  warning: {flaw}")
    sys.exit(0 if all(r["is_there"] and not r["flaws"] for r in reports) else 1)


def _chosen(names: tuple[str, ...]) -> "tuple[Settings, list[Source]]":
    from fastdata.declare.catalog import load_folder
    from fastdata.settings import Settings

    settings = Settings.load()
    declared = load_folder(settings.agents).sources
    for name in names:
        if name not in declared:
            advice = did_you_mean(name, declared, f"there are: {', '.join(sorted(declared))}")
            raise click.UsageError(f"no source {name!r} is declared; {advice}")
    return settings, [declared[name] for name in dict.fromkeys(names or sorted(declared))]


async def _inspect(settings: "Settings", sources: "list[Source]") -> list[dict[str, Any]]:
    from fastdata.kafka.connection import Broker
    from fastdata.speed.topic_rules import changelog_topic
    from fastdata.speed.topics import TopicAdmin, inspect_topics

    broker = Broker.of(settings)
    await broker.check()
    reports: dict[str, dict[str, Any]] = {}
    async with TopicAdmin(**broker.aiokafka()) as admin:
        for source in sources:
            changelog = changelog_topic(settings.application_id, source.name)
            seen = await inspect_topics(admin, source.topic, changelog, source.destination)
            missing = seen.missing if seen.source else (source.topic,)
            for topic in (seen.source, *seen.beside):
                if topic is not None:
                    flaws = [f for f in seen.flaws if f.topic == topic.name]
                    texts = [f"{f.text}; mend it: {f.cure(str(broker))}" for f in flaws]
                    if seen.misfit and topic.name == changelog:
                        texts.append(seen.misfit)
                    config = {n: topic.config[n] for n in _CONFIG if n in topic.config}
                    reports[topic.name] = _listed(
                        topic.name, topic.partitions, topic.replicas, config, texts
                    )
            reports |= {name: _listed(name) for name in missing}
    return list(reports.values())


def _listed(
    name: str,
    partitions: int | None = None,
    copies: int | None = None,
    config: dict[str, str] | None = None,
    flaws: list[str] | None = None,
) -> dict[str, Any]:
    return {
        "topic": name,
        "is_there": partitions is not None,
        "partitions": partitions,
        "copies": copies,
        "config": config or {},
        "flaws": flaws or [],
    }


async def create_missing(
    settings: "Settings",
    sources: "list[Source]",
    partitions: int,
    replicas: int | None,
    *,
    is_dry: bool,
) -> "list[NewlyMade]":
    """Create, or only look for, all topics of sources; as `create_topics` of the speed layer.

    Raises:
        BrokerError: The broker cannot be reached, refuses, or a topic does not fit.
    """
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
                source.destination,
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
