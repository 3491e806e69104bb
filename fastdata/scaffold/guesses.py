"""What a sample of events suggests: their time, their id, and what to measure by what."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fastdata.errors import FastdataError
from fastdata.events.fieldtypes import SchemaNode
from fastdata.files.sample import Sample
from fastdata.files.types import FileField, file_fields, words_of
from fastdata.scaffold.scalars import Scalar, scalars_of

__all__ = ["Choice", "Guesses", "guess"]

_TIME_NAMES = ("eventtime", "timestamp", "time", "ts", "at", "eventtimestamp", "occurredat")
_FIRST_TIMES = frozenset({"created", "occurred", "event", "ordered", "started", "placed"})
_LATER_TIMES = frozenset(
    {"updated", "modified", "deleted", "expires", "expiry", "birth", "due", "shipped", "delivered",
     "ended", "end", "until", "processed", "ingested", "valid"}
)  # fmt: skip
_ID_WORDS = frozenset({"id", "uuid", "guid", "key"})
_WHO_WORDS = frozenset(
    {"user", "customer", "visitor", "session", "account", "email", "ip", "member", "device",
     "client", "person", "host", "guest", "patient", "player", "driver", "rider", "passenger",
     "buyer", "seller", "subscriber", "employee", "student", "author", "owner"}
)  # fmt: skip
_GROUP_WORDS = frozenset(
    {"country", "status", "type", "category", "channel", "region", "city", "device", "platform",
     "method", "state", "brand", "product", "store", "shop", "sensor", "site", "page", "origin",
     "carrier", "event", "currency", "plan", "tier", "level", "kind", "code", "language", "station"}
)  # fmt: skip
_CODE_WORDS = frozenset(
    {"code", "status", "type", "level", "zip", "postcode", "year", "month", "day", "hour",
     "version", "port", "lat", "lon", "lng", "latitude", "longitude", "index", "no", "phone"}
)  # fmt: skip
_GAUGE_WORDS = frozenset(
    {"temp", "temperature", "humidity", "pressure", "rate", "ratio", "percent", "pct", "score",
     "rating", "stars", "latency", "duration", "delay", "age", "speed", "level", "voltage", "ms",
     "seconds", "celsius", "fahrenheit", "battery", "signal", "load", "c", "f", "hpa"}
)  # fmt: skip
_MOST_GROUPS = 200
_MOST_MEASURES = 3


@dataclass(frozen=True, slots=True)
class Choice:
    """A field that was chosen, or that none was.

    Attributes:
        field: Its name in the schema; None for none.
        why: For people.
        is_sure: Whether nothing speaks against it.
    """

    field: str | None
    why: str
    is_sure: bool


@dataclass(frozen=True, slots=True)
class Guesses:
    """All that is chosen for one file.

    Attributes:
        fields: All that have a type.
        left_out: The keys of the others, and why.
        time: The event time.
        id: What identifies an event.
        by: What to count by: the best dimension, or those that were told.
        groups: The dimensions, the best one first.
        who: What to count the different values of.
        sums: Measures that are added up.
        gauges: Measures of which only means and extremes make sense.
        whys: Why each of these columns was chosen, by path.
        missing_times: Rows of the sample without a time.
    """

    fields: list[FileField]
    left_out: list[tuple[str, str]]
    time: Choice
    id: Choice
    by: list[Scalar]
    groups: list[Scalar]
    who: list[Scalar]
    sums: list[Scalar]
    gauges: list[Scalar]
    whys: dict[str, str]
    missing_times: int


def guess(
    sample: Sample, name: str, time: str | None, id: str | None, by: Sequence[str]
) -> Guesses:
    """Choose from the fields of a sample.

    Args:
        sample: Of a file.
        name: Of the source, which an id's name may be made of.
        time: The key or name of the event time; None to guess.
        id: The same of the id; empty for none.
        by: Paths or names of dimensions; none to guess.

    Raises:
        FastdataError: There is no such field, it cannot be that, or nothing is a time.
    """
    fields, chosen = _with_time(sample, time)
    identity = _id(sample, fields, name, chosen.field) if id is None else _told_id(fields, id)
    used = {chosen.field, identity.field}
    columns = [column for column in scalars_of(fields) if column.path not in used]
    whys: dict[str, str] = {}
    groups = _groups(columns, sample.distinct, whys) if not by else _told_groups(columns, by, whys)
    rest = [column for column in columns if column not in groups]
    who = _who(rest, groups, sample.distinct, whys)
    sums, gauges = _measures([column for column in rest if column not in who])
    typed = [field for field in fields if field.type is not None]
    left_out = [(field.key, "; ".join(field.notes)) for field in fields if field.type is None]
    (moments,) = [field.profile for field in fields if field.name == chosen.field]
    missing = len(sample.rows) - moments.count + moments.kinds["na"]
    best = groups if by else groups[:1]
    return Guesses(
        typed, left_out, chosen, identity, best, groups, who, sums, gauges, whys, missing
    )


def _with_time(sample: Sample, time: str | None) -> tuple[list[FileField], Choice]:
    """The fields, with the one of the event time as a moment that is always there."""
    fields = file_fields(sample)
    if time is not None:
        key = _named(fields, time, "--time").key
        fields = file_fields(sample, [key])
        field = _named(fields, time, "--time")
        if not _is_moment(field, sample):
            raise FastdataError(
                f"--time {time}: it holds {_shown(field)}; a time is ISO 8601, or a number of s, "
                "ms, us or ns since 1970, in a field that is not inside of another"
            )
        choice = Choice(field.name, f"{_form(field)}, as --time says", True)
    else:
        field, choice = _best_time(fields, sample)
        fields = file_fields(sample, [field.key])
    index = [other.key for other in fields].index(field.key)
    # Without it there is no event, so it is not null, and a day is its midnight.
    moment = {"type": "long", "logicalType": "local-timestamp-millis"}
    type_ = moment if _logical(fields[index].type) == "date" else fields[index].type
    fields[index] = replace(fields[index], type=type_, is_nullable=False)
    return fields, choice


def _best_time(fields: list[FileField], sample: Sample) -> tuple[FileField, Choice]:
    times = [field for field in fields if _is_moment(field, sample)]
    if not times:
        times = [field for field in fields if field.profile.unit and field.type == "long"]
        if not times:
            raise FastdataError(
                "no field is a time: ISO 8601, or a number of s, ms, us or ns since 1970. Without "
                f"one nothing can be counted by time. The fields are: {_listed(fields)}"
            )
        unit = times[0].profile.unit
        return times[0], Choice(times[0].name, f"its numbers look like {unit} since 1970", False)
    ranked = sorted(times, key=_time_score, reverse=True)
    others = ", ".join(field.key for field in ranked[1:3])
    why = _form(ranked[0]) + (f"; {others} could be it, too" if others else "")
    is_sure = len(ranked) == 1 or _time_score(ranked[0]) > _time_score(ranked[1])
    local = _logical(ranked[0].type) in ("local-timestamp-millis", "local-timestamp-micros", "date")
    why += "; it names no time zone, so it is read as UTC" if local else ""
    return ranked[0], Choice(ranked[0].name, why, is_sure and not local)


def _time_score(field: FileField) -> int:
    words = words_of(field.key)
    score = 3 if "".join(c for c in field.key.lower() if c.isalnum()) in _TIME_NAMES else 0
    score += 2 if words & _FIRST_TIMES else 0
    score -= 2 if words & _LATER_TIMES else 0
    score -= 1 if _logical(field.type) == "date" else 0
    return score - (3 if field.is_nullable else 0)


def _is_moment(field: FileField, sample: Sample) -> bool:
    logical = _logical(field.type)
    # In files with types, a date is a number of days.
    return logical.endswith(("timestamp-millis", "timestamp-micros")) or (
        logical == "date" and sample.declared is None
    )


def _form(field: FileField) -> str:
    """How a time is written."""
    unit = field.profile.unit if field.profile.kinds["long"] + field.profile.kinds["double"] else ""
    unit = field.type.get("unit", unit) if isinstance(field.type, dict) else unit
    if unit:
        return f"{unit} since 1970"
    texts = {"timestamp": "ISO 8601 with an offset", "local": "ISO 8601", "date": "a day"}
    kinds = [kind for kind, _ in field.profile.kinds.most_common() if kind in texts]
    return texts[kinds[0]] if kinds else "a timestamp"


def _id(sample: Sample, fields: list[FileField], name: str, time: str | None) -> Choice:
    """The field that is another one in each event, but for rows that come again as a whole."""
    unique = [
        (score, field)
        for field in fields
        if field.name != time and _is_unique(field, sample)
        if (score := _id_score(field, name, sample.distinct))
    ]
    if unique:
        score, field = max(unique, key=lambda pair: pair[0])
        why = f"another one in each of {sample.distinct:,} different rows"
        return Choice(field.name, why, score > 2 and sample.distinct >= 100)
    near = [
        f"; {field.key} has {len(field.profile.values):,} values in {sample.distinct:,} rows"
        for field in fields
        if field.type in ("string", "long", "int") and _id_score(field, name, 0) > 2
    ]
    why = (
        f"no field is another one in each of {sample.distinct:,} different rows{''.join(near[:1])}"
    )
    return Choice(None, why, True)


def _is_unique(field: FileField, sample: Sample) -> bool:
    if field.type not in ("string", "long", "int") or field.is_nullable or field.misfits:
        return False
    return len(field.profile.values) == sample.distinct


def _id_score(field: FileField, name: str, rows: int) -> int:
    key = field.key.lower()
    if key in ("id", "event_id", "eventid", "uuid", "guid", f"{name}_id", f"{name.rstrip('s')}_id"):
        return 5
    if words_of(field.key) & _ID_WORDS or key.endswith("id"):
        return 3
    has_spaces = any(" " in str(value) for value in field.profile.values)
    return 1 if rows >= 100 and field.type == "string" and not has_spaces else 0


def _told_id(fields: list[FileField], name: str) -> Choice:
    if not name:
        return Choice(None, "as --id says", True)
    field = _named(fields, name, "--id")
    if field.type not in ("string", "long", "int"):
        raise FastdataError(
            f"--id {name}: it holds {_shown(field)}; an id is text or an integer, in a field that "
            "is not inside of another"
        )
    return Choice(field.name, "as --id says", True)


def _groups(columns: list[Scalar], rows: int, whys: dict[str, str]) -> list[Scalar]:
    scored = [
        (score, -index, column)
        for index, column in enumerate(columns)
        if (score := _group_score(column, rows))
    ]
    best = [
        column for *_, column in sorted(scored, reverse=True, key=lambda scores: scores[:2])[:2]
    ]
    for column in best:
        whys[column.path] = f"{len(column.profile.values):,} different values"
    return best


def _group_score(column: Scalar, rows: int) -> int:
    count = len(column.profile.values)
    words = words_of(column.path)
    is_code = bool(words & (_CODE_WORDS | _ID_WORDS))
    if column.kind not in ("string", "bool", "int") or (column.kind == "int" and not is_code):
        return 0
    if not 2 <= count <= min(_MOST_GROUPS, max(2, rows // 4)):
        return 0
    score = {"string": 4, "int": 2, "bool": 1}[column.kind]
    score += 3 if words & _GROUP_WORDS else 0
    return score + (1 if 3 <= count <= 30 else 0) - (1 if column.is_nullable else 0) + 1


def _told_groups(columns: list[Scalar], by: Sequence[str], whys: dict[str, str]) -> list[Scalar]:
    groups = []
    for name in by:
        fit = [column for column in columns if name in (column.path, column.name, column.key)]
        if not fit or fit[0].kind not in ("string", "bool", "int", "date"):
            kinds = ", ".join(c.path for c in columns if c.kind in ("string", "bool", "int"))
            raise FastdataError(
                f"--by {name}: there is no such field to count by; there are: {kinds}"
            )
        groups.append(fit[0])
        whys[fit[0].path] = "as --by says"
    return groups


def _measures(columns: list[Scalar]) -> tuple[list[Scalar], list[Scalar]]:
    numbers = [
        column
        for column in columns
        if column.kind in ("int", "float", "decimal")
        if not words_of(column.path) & (_CODE_WORDS | _ID_WORDS)
        if not (column.kind == "int" and column.key.lower().endswith("id"))
    ]
    # Money first, whatever stands before it.
    numbers = sorted(numbers, key=lambda column: column.kind != "decimal")[:_MOST_MEASURES]
    gauges = [column for column in numbers if words_of(column.path) & _GAUGE_WORDS]
    return [column for column in numbers if column not in gauges], gauges


def _who(
    columns: list[Scalar], groups: list[Scalar], rows: int, whys: dict[str, str]
) -> list[Scalar]:
    """At most one: what names a person or a thing, or else what has the most values."""

    def score(column: Scalar) -> tuple[int, int]:
        words = words_of(column.path)
        named = 2 * bool(words & _WHO_WORDS) + bool(words & _ID_WORDS)
        return named, len(column.profile.values)

    fit = [
        column
        for column in columns
        if column.kind == "string" or (column.kind == "int" and score(column)[0])
        if len(column.profile.values) > 1
    ] or [column for column in groups if column.kind in ("string", "int")]
    best = sorted(fit, key=score, reverse=True)[:1]
    for column in best:
        if column not in groups:
            whys[column.path] = f"{len(column.profile.values):,} different values in {rows:,} rows"
    return best


def _named(fields: list[FileField], name: str, option: str) -> FileField:
    for field in fields:
        if name in (field.key, field.name):
            return field
    raise FastdataError(f"{option} {name}: there is no such field; there are: {_listed(fields)}")


def _listed(fields: list[FileField]) -> str:
    return ", ".join(f"{field.key} ({_shown(field)})" for field in fields)


def _shown(field: FileField) -> str:
    if isinstance(field.type, dict):
        return str(field.type.get("logicalType", field.type["type"]))
    return str(field.type or "; ".join(field.notes))


def _logical(type_: SchemaNode) -> str:
    return str(type_.get("logicalType", "")) if isinstance(type_, dict) else ""
