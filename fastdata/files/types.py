"""From the profile of a field to its Avro type."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastdata.events.fieldtypes import SchemaNode
from fastdata.files.names import fitted_names
from fastdata.files.profile import Profile
from fastdata.files.sample import Sample

__all__ = ["FileField", "file_fields", "words_of"]

_FEW = 0.02  # of the values, that may be of another kind
_PRECISION = 18
_MAX_FIELDS = 1_000
_TEXTS = frozenset({"timestamp", "local", "date", "decimal", "string"})
_TIME_WORDS = frozenset(
    {"time", "timestamp", "ts", "at", "date", "datetime", "when", "epoch", "created", "updated",
     "occurred", "unixtime"}
)  # fmt: skip
_MONEY_WORDS = frozenset(
    {"amount", "balance", "charge", "cost", "discount", "fare", "fee", "gross", "net", "paid",
     "payment", "price", "refund", "revenue", "salary", "sales", "subtotal", "tax", "tip", "total",
     "vat"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FileField:
    """A field of the rows of a file, and its Avro type.

    Attributes:
        key: Its name in the file.
        name: Its name in the schema.
        type: Its Avro type, without null; None where it can have none.
        is_nullable: Whether a row of the sample has it not, or has null.
        misfits: How many of its values in the sample do not fit the type.
        notes: What of it is guessed, or why it has no type.
        profile: Of its values.
    """

    key: str
    name: str
    type: SchemaNode | None
    is_nullable: bool
    misfits: int
    notes: tuple[str, ...]
    profile: Profile

    @property
    def declaration(self) -> dict[str, SchemaNode]:
        """The field as a schema has it."""
        renamed = {"json": self.key} if self.name != self.key else {}
        if not self.is_nullable:
            return {"name": self.name, **renamed, "type": self.type}
        type_ = self.type if isinstance(self.type, list) else ["null", self.type]
        return {"name": self.name, **renamed, "type": type_, "default": None}


def words_of(name: str) -> frozenset[str]:
    """The words in a name, lower case: of `orderDate` and `order_date`, order and date."""
    return frozenset(
        word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+", name)
    )


def file_fields(sample: Sample, times: Collection[str] = ()) -> list[FileField]:
    """The fields of a sample, in order.

    Args:
        sample: Of a file.
        times: Keys of fields that hold times, whatever their names.
    """
    members = (sample.declared or {}).get("fields", ())
    declared = {member["name"]: member["type"] for member in members}
    keys = [*dict.fromkeys([*declared, *sample.profiles])]
    names = fitted_names(keys)
    fields = []
    for key in keys:
        profile = sample.profiles.get(key, Profile())
        is_time = key in times or bool(words_of(key) & _TIME_WORDS)
        typing = _Typing(is_text=sample.format == "csv")
        if key in declared:
            type_ = typing.declared(declared[key], profile, is_time)
        else:
            type_ = typing.type_of(profile, key, names[key], is_time)
        is_missing = profile.kinds.total() < len(sample.rows)
        has_null = isinstance(declared.get(key), list) and "null" in declared[key]
        is_nullable = is_missing or has_null or typing.has_nulls(profile, type_)
        doubts = typing.misfits, tuple(dict.fromkeys(typing.notes))
        fields.append(FileField(key, names[key], type_, is_nullable, *doubts, profile))
    return fields


class _Typing:
    """Finds the type of a field.

    Args:
        is_text: Whether every value was a text, so that all can be a string.

    Attributes:
        misfits: Values that do not fit it, those inside of others too.
        notes: What of it is a guess, or why it has none.
    """

    def __init__(self, *, is_text: bool) -> None:
        self.misfits = 0
        self.notes: list[str] = []
        self._is_text = is_text

    def has_nulls(self, profile: Profile, type_: SchemaNode) -> bool:
        return bool(profile.kinds["null"] or (profile.kinds["na"] and type_ != "string"))

    def declared(self, node: SchemaNode, profile: Profile, is_time: bool) -> SchemaNode | None:
        """The type that the file says."""
        rest = [branch for branch in node if branch != "null"] if isinstance(node, list) else [node]
        if len(rest) != 1 or rest[0] is None:
            self.notes.append("its type in the file is one that no event of JSON can have")
            return None
        if rest[0] in ("int", "long") and is_time and profile.unit:
            return self._instant(profile)
        return rest[0]

    def type_of(self, profile: Profile, key: str, path: str, is_time: bool) -> SchemaNode | None:
        """The type of most values."""
        kinds = self._merged(profile.kinds)
        total = kinds.total()
        if not total:
            self.notes.append("there are only nulls in the sample")
            return None
        kind, most = kinds.most_common(1)[0]
        if total - most > _FEW * total:
            if not self._is_text and not kinds.keys() <= _TEXTS:
                held = " and ".join(sorted(kinds))
                self.notes.append(f"it holds {held}: a field of JSON is of one type")
                return None
            kind, most = "string", total
        is_instant = kind in ("long", "double") and is_time and profile.unit
        self.misfits += total - most - (kinds["timestamp"] if is_instant else 0)  # ISO is read, too
        return self._typed(kind, profile, key, path, is_time)

    def _merged(self, kinds: Counter[str]) -> Counter[str]:
        """The kinds of values, with those as one that one type can hold."""
        merged = Counter({kind: count for kind, count in kinds.items() if count})
        del merged["null"], merged["na"]
        if merged["double"] or merged["huge"]:
            merged["double"] += merged.pop("long", 0) + merged.pop("huge", 0)
        if merged["local"] and merged["date"]:
            merged["local"] += merged.pop("date")
        return +merged

    def _typed(
        self, kind: str, profile: Profile, key: str, path: str, is_time: bool
    ) -> SchemaNode | None:
        match kind:
            case "long" | "double" if is_time and profile.unit:
                return self._instant(profile)
            case "double" | "decimal":
                return self._number(kind, profile, key)
            case "timestamp" | "local":
                local = "local-" if kind == "local" else ""
                size = "micros" if profile.part > 3 else "millis"
                return {"type": "long", "logicalType": f"{local}timestamp-{size}"}
            case "date":
                return {"type": "int", "logicalType": "date"}
            case "record":
                return self._record(profile, path)
            case "array":
                return self._array(profile, path)
        return kind

    def _instant(self, profile: Profile) -> SchemaNode:
        unit = profile.unit
        # Numbers that are a time in another unit, or none.
        self.misfits += profile.kinds["long"] + profile.kinds["double"] - profile.units[unit]
        has_parts = bool(profile.kinds["double"])
        size = "micros" if unit in ("us", "ns") or profile.digits > 3 else "millis"
        node = {"type": "long", "logicalType": f"timestamp-{size}"}
        is_as_declared = {"ms": "millis", "us": "micros"}.get(unit) == size and not has_parts
        return node if is_as_declared else node | {"unit": unit}

    def _number(self, kind: str, profile: Profile, key: str) -> SchemaNode:
        is_money = bool(words_of(key) & _MONEY_WORDS) and profile.digits <= 4
        if kind == "double" and (not is_money or profile.kinds["huge"]):
            return "double"
        scale = max(profile.digits, 2)
        if kind == "double":
            self.notes.append(
                f"decimal, so that sums of money are exact; with more than {scale} digits after "
                'the point an event is a dead letter: then "double" is right'
            )
        return {
            "type": "bytes", "logicalType": "decimal", "precision": _PRECISION + scale,
            "scale": scale,
        }  # fmt: skip

    def _record(self, profile: Profile, path: str) -> SchemaNode | None:
        times = profile.kinds["record"]
        fields = list(self._members(profile.fields, path, times))
        types = [field["type"][-1] if isinstance(field["type"], list) else field["type"]
                 for field in fields]  # fmt: skip
        present = sum(member.kinds.total() for member in profile.fields.values())
        if len(fields) > 30 and present < times * len(fields) / 2:
            self.notes.append("its keys differ from row to row, so it is a map")
            if any(type_ != types[0] for type_ in types):
                self.notes[-1:] = ["its keys differ from row to row, and so do its types"]
                return None
            return {"type": "map", "values": ["null", types[0]]}
        if not fields or len(fields) > _MAX_FIELDS:
            self.notes.append(f"it is a record of {len(fields)} fields")
            return None
        return {"type": "record", "name": f"Row.{path}", "fields": fields}

    def _members(
        self, profiles: Mapping[str, Profile], path: str, times: int
    ) -> Iterator[dict[str, Any]]:
        names = fitted_names(profiles)
        for key, profile in profiles.items():
            is_time = bool(words_of(key) & _TIME_WORDS)
            kept = len(self.notes)
            type_ = self.type_of(profile, key, f"{path}.{names[key]}", is_time)
            self.notes[kept:] = [f"{key}: {note}" for note in self.notes[kept:]]
            if type_ is not None:
                is_nullable = bool(profile.kinds["null"]) or profile.kinds.total() < times
                yield FileField(key, names[key], type_, is_nullable, 0, (), profile).declaration

    def _array(self, profile: Profile, path: str) -> SchemaNode | None:
        items = profile.items
        if items is None or not items.count:
            self.notes.append("its arrays are empty in the sample")
            return None
        type_ = self.type_of(items, "", f"{path}.item", False)
        if type_ is None:
            return None
        return {"type": "array", "items": ["null", type_] if items.kinds["null"] else type_}
