"""`fastdata schema`."""

import asyncio
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fastdata.cli.groups import CommandGroup
from fastdata.errors import IncompatibleSchemaError, did_you_mean
from fastdata.events.evolution import differences
from fastdata.events.registry import FolderRegistry, Registry, open_registry
from fastdata.events.schema import Schema

if TYPE_CHECKING:
    from fastdata.settings import Settings

__all__ = ["schema"]

_NAMES = click.argument("names", nargs=-1, metavar="[SOURCE | FILE.avsc]...")
_SUBJECT = click.option("--subject", help="The subject, instead of <topic>-value of a source.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A schema that is declared, and the subject it belongs to; none is known of a file."""

    name: str
    subject: str
    schema: Schema


@dataclass(frozen=True, slots=True)
class _Compatibility:
    """Why what was written with a schema cannot be read with another: with no reason, it can."""

    name: str
    against: str
    reasons: list[str]


@click.group(
    cls=CommandGroup, short_help="Register schemas, and check whether old events can still be read."
)
def schema() -> None:
    """Register schemas, and check whether old events can still be read.

    The schemas are those that the sources in ./agents (or FASTDATA_AGENTS) declare. The registry
    is FASTDATA_REGISTRY: the URL of one that speaks Confluent's protocol, or a folder.

    \b
    Examples:
      fastdata schema check
      FASTDATA_REGISTRY=https://user:secret@registry:8081 fastdata schema register
    """  # noqa: D301  (click wants the backspace)


@schema.command(short_help="Register the schemas of sources, if they are compatible.")
@_NAMES
@_SUBJECT
@_JSON
def register(names: tuple[str, ...], subject: str | None, as_json: bool) -> None:
    """Register the schemas of sources (all, or those that are named), if they are compatible.

    What cannot read the events of the subject's newest version is refused. The subject's
    compatibility becomes BACKWARD when it is not set, so that the registry refuses, too, what
    others register. Registering what is there already changes nothing.

    \b
    Examples:
      fastdata schema register
      fastdata schema register orders --subject shop.orders-value
      fastdata schema register schemas/order.avsc --subject orders-value --json
    """  # noqa: D301  (click wants the backspace)
    from fastdata.settings import Settings

    settings = Settings.load()
    chosen = _choose(settings, names, subject)
    for candidate in chosen:
        if not candidate.subject:
            raise click.UsageError(f"{candidate.name} is a file: name its --subject")
    ids = asyncio.run(_register(_open(settings), chosen))
    if as_json:
        registered = [{"subject": n.subject, "name": n.name, "id": ids[n.subject]} for n in chosen]
        click.echo(json.dumps(registered, indent=2))
    else:
        for candidate in chosen:
            click.echo(
                f"{candidate.subject}: {candidate.schema.name} has the id {ids[candidate.subject]}"
            )


async def _register(registry: Registry, chosen: Iterable[_Candidate]) -> dict[str, int]:
    if isinstance(registry, FolderRegistry):
        raise click.UsageError(
            "FASTDATA_REGISTRY is a folder, where nothing is registered: a file in it is known "
            "by its text. Keep the old files beside the new, or set the URL of a registry"
        )
    from fastdata.events.url_registry import UrlRegistry

    assert isinstance(registry, UrlRegistry)  # noqa: S101 - there are two kinds
    return {
        candidate.subject: await registry.register(candidate.subject, candidate.schema)
        for candidate in chosen
    }


@schema.command(short_help="Check that declared schemas can read the events there are.")
@_NAMES
@_SUBJECT
@click.option(
    "--against",
    type=click.Path(exists=True, path_type=Path),
    help="A schema file, or a folder of them, instead of the registry.",
)
@click.option(
    "--all-versions", is_flag=True, help="Compare with all versions, not with the newest alone."
)
@click.option(
    "--compatibility",
    type=click.Choice(["backward", "forward", "full"]),
    default="backward",
    help="backward: the declared schema reads the others; forward: they read it; full: both.",
)
@_JSON
def check(
    names: tuple[str, ...],
    subject: str | None,
    against: Path | None,
    all_versions: bool,
    compatibility: str,
    as_json: bool,
) -> None:
    """Check that declared schemas can read the events there are.

    Compares the schemas of sources (all, or those that are named) or of files with the newest
    version of their subject in the registry. A folder keeps no versions: there, and with
    --against, all files with a record of the same name are compared.

    Exit code 1 when one is not compatible; the reasons name the fields.

    \b
    Examples:
      fastdata schema check
      fastdata schema check orders --all-versions --compatibility full --json
      fastdata schema check schemas/new.avsc --against schemas/old.avsc

    \f
    Raises:
        IncompatibleSchemaError: A schema is not compatible.
    """  # noqa: D301  (click wants the backspace)
    from fastdata.settings import Settings

    settings = Settings.load()
    chosen = _choose(settings, names, subject)
    if against is None:
        registry = _open(settings)
        verdicts = asyncio.run(_compare(registry, chosen, all_versions, compatibility))
    else:
        others = FolderRegistry(against).schemas if against.is_dir() else [Schema.load(against)]
        verdicts = list(_compare_files(others, chosen, compatibility))
    if as_json:
        compared = [{**asdict(v), "is_compatible": not v.reasons} for v in verdicts]
        click.echo(json.dumps(compared, indent=2))
    else:
        _show(chosen, verdicts)
    if wrong := [v.name for v in verdicts if v.reasons]:
        if not as_json:
            raise IncompatibleSchemaError(
                f"not compatible: {', '.join(dict.fromkeys(wrong))}; give new fields a default "
                "and keep the types of the others"
            )
        sys.exit(1)


def _open(settings: "Settings") -> Registry:
    return open_registry(settings.registry, settings.registry_ca)


def _choose(settings: "Settings", names: tuple[str, ...], subject: str | None) -> list[_Candidate]:
    from fastdata.declare.catalog import load_folder

    files = [name for name in names if name.endswith(".avsc")]
    chosen = [_Candidate(name, subject or "", Schema.load(Path(name))) for name in files]
    if len(files) < len(names) or not names:
        sources = load_folder(settings.agents).sources
        named = [name for name in names if name not in files]
        others = [] if named else [name for name in sources if sources[name].format != "avro"]
        for name in others:
            form = sources[name].format
            click.echo(f"{name}: its values are {form}, which no registry knows", err=True)
        for name in named or [name for name in sources if sources[name].format == "avro"]:
            if name not in sources:
                advice = did_you_mean(name, sources, f"there are: {', '.join(sources)}")
                raise click.UsageError(f"there is no source {name!r}; {advice}")
            source = sources[name]
            if source.format != "avro":
                raise click.UsageError(
                    f"the values of source {name!r} are {source.format}: no registry knows them"
                )
            chosen.append(_Candidate(name, subject or f"{source.topic}-value", source.schema))
    if subject and len(chosen) > 1:
        raise click.UsageError("--subject is of one source: name it")
    return chosen


async def _compare(
    registry: Registry, chosen: Iterable[_Candidate], all_versions: bool, compatibility: str
) -> list[_Compatibility]:
    if isinstance(registry, FolderRegistry):
        return list(_compare_files(registry.schemas, chosen, compatibility))
    from fastdata.events.url_registry import UrlRegistry

    assert isinstance(registry, UrlRegistry)  # noqa: S101 - there are two kinds
    verdicts = []
    for candidate in chosen:
        if not candidate.subject:
            raise click.UsageError(
                f"{candidate.name} is a file: name its --subject, or use --against"
            )
        for version in await registry.versions(candidate.subject, newest=not all_versions):
            reasons = _reasons(candidate.schema, version.schema, compatibility)
            against = f"version {version.version} of {version.subject}"
            verdicts.append(_Compatibility(candidate.name, against, reasons))
    return verdicts


def _compare_files(
    others: Iterable[Schema], chosen: Iterable[_Candidate], compatibility: str
) -> Iterator[_Compatibility]:
    others = list(others)
    for candidate in chosen:
        for other in others:
            if len(others) == 1 or other.name == candidate.schema.name:
                against = f"{other.name} with the id {other.id}"
                yield _Compatibility(
                    candidate.name, against, _reasons(candidate.schema, other, compatibility)
                )


def _reasons(declared: Schema, other: Schema, compatibility: str) -> list[str]:
    reasons = []
    if compatibility != "forward":
        reasons += differences(other, declared)
    if compatibility != "backward":
        reasons += [f"forward: {reason}" for reason in differences(declared, other)]
    return reasons


def _show(chosen: Iterable[_Candidate], verdicts: Iterable[_Compatibility]) -> None:
    compared = {verdict.name for verdict in verdicts}
    for candidate in chosen:
        if candidate.name not in compared:
            click.echo(f"{candidate.name}: nothing to compare with yet")
    for verdict in verdicts:
        word = "not compatible" if verdict.reasons else "compatible"
        click.echo(f"{verdict.name}: {word} with {verdict.against}")
        for reason in verdict.reasons:
            click.echo(f"  {reason}")
