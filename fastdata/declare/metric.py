"""A metric: dimensions and measures of a source's events, in windows of a minute."""

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol, cast

from fastdata.coordinates.calendar import Calendar, Grain
from fastdata.coordinates.dimensions import Dimensions, load_dims
from fastdata.coordinates.instants import HOUR_MS, MINUTE_MS
from fastdata.declare.expressions_of import By, ExpressionReader
from fastdata.declare.place import declaring_place
from fastdata.declare.source import Source
from fastdata.errors import CorruptStateError, DeclarationError, QueryError
from fastdata.events.fieldtypes import FieldType
from fastdata.expressions import Column, Node, compile_rows
from fastdata.measures.adding import compile_adding, compile_dumping, compile_zero
from fastdata.measures.aggregate import Aggregate, dump_whole, widened_by_any
from fastdata.measures.count import Count
from fastdata.measures.envelope import MAX_WHOLE_BYTES, pack, unpack
from fastdata.measures.estimates import Estimate
from fastdata.measures.ratios import NUMBERS, Derived

__all__ = ["Folding", "Measure", "Metric", "States", "wrong_name"]

States = list[object]  # one for each of `Metric.aggregates`
_MeasureValues = Sequence[object]  # one for each of `Metric.aggregates`; None is skipped

_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
_COLUMNS = frozenset({"window_start", "window_end", "exact", "fresh_until", "read_until", "gap"})


class Measure(Protocol):
    """What `measures={...}` holds: an aggregate that is not bound to a type yet.

    Its `repr` is part of the metric's fingerprint. Where it has a true attribute `timed`, its
    aggregate folds pairs of a value and its event time in ms UTC.
    """

    @property
    def arguments(self) -> tuple[str, ...]:
        """The expressions that it measures; none when it measures events as such."""

    def bind(self, *types: FieldType) -> Aggregate:
        """The aggregate over values of these types, one for each argument.

        Raises:
            DeclarationError: A type does not fit.
        """


class Folding(Protocol):
    """The function that finds out what an event folds; `Metric.rows` is one."""

    def __call__(
        self, fields: Mapping[str, object], time: int = 0
    ) -> Sequence[tuple[Dimensions, Sequence[_MeasureValues]]]:
        """Dimension values and, for each of them, what the measures get, as often as they get it.

        No dimension values come twice. With several grouping sets the first of them is the index
        of the set. Where the metric unnests an array, its measures get values once an element.

        Args:
            fields: Of the event, by name.
            time: Event time, ms UTC.

        Raises:
            BadEventError: A key is too long; the event is none of this metric.
            MapError: A map function took a field away, or changed its type.
        """


class Metric:
    """Measures of a source's events by dimensions, in windows of one minute.

        metric = Metric("sales", orders, by=["country"], measures={"amount": Sum("price * number")})

    Args:
        name: Lower case.
        source: What its events are of.
        by: Fields of the source, or expressions by the names of dimensions. They are strings,
            integers, booleans, timestamps or dates, and null is a value. Lists of fields in it
            are grouping sets.
        measures: By name; a measure skips nulls.
        where: A condition, as an expression: which events count. None for all.
        grouping_sets: Lists of dimensions: measures are kept by each of these and nothing else,
            and a query is answered by the smallest that has all dimensions it asks for. None for
            one of all dimensions.
        rollups: What batch keeps ready, and exact: "day", "week", "month", or rolling days such as
            "30d". They change nothing else, so their metric stays the same one.
        zone: The time zone of the days of `rollups`, as in "Europe/Berlin".

    Attributes:
        by: The names of all dimensions.
        sets: The grouping sets, in the order that they are declared in; each in that of `by`.
        rollups: The grains that batch keeps ready.
        calendar: The days, weeks and months of the zone.
        selection: All expressions, typed. Where one unnests an array, each of its elements is
            folded like an event, and an event without elements folds nothing.
        rows: The function that gives what an event folds; see `Folding`.
        add_values: The function that folds values of `rows` into states; see `Adding`.
        id: Name and fingerprint of the definition: another definition is another metric.
        folded: The measures that are not derived from others, in order.
        aggregates: The same, bound to their types.
        columns: What tells kind and Arrow type of each measure, derived or not, in order.

    Raises:
        DeclarationError: With the place of the declaration and the fields there are.
    """

    window_ms = MINUTE_MS
    span_ms = HOUR_MS

    def __init__(
        self,
        name: str,
        source: Source,
        by: By = (),
        measures: Mapping[str, Measure | Derived] | None = None,
        where: str | None = None,
        grouping_sets: Sequence[Sequence[str]] | None = None,
        rollups: Sequence[str] = (),
        zone: str = "UTC",
    ) -> None:
        self.place = declaring_place()
        self.name = name
        self.source = source
        if not isinstance(cast("object", source), Source):
            self._fail(f"its source is {source!r}; a metric is of one Source: declare one for each")
        if measures is not None and not isinstance(cast("object", measures), Mapping):
            self._fail(
                f"measures is {measures!r}; give them names, as in measures={{'events': Count()}}"
            )
        try:
            self.calendar = Calendar(zone)
            self.rollups = tuple(dict.fromkeys(map(Grain.parse, rollups)))
        except ValueError as error:
            self._fail(str(error))
        reader = ExpressionReader(self._fields(), self.place, name)
        dimensions, self.sets = reader.dimensions(by, grouping_sets)
        self.by = tuple(dimensions)
        self.measures: dict[str, Measure | Derived] = dict(measures or {"events": Count()})
        self._check_names()
        self.folded = {k: m for k, m in self.measures.items() if not isinstance(m, Derived)}
        self.selection = reader.selection(dimensions, self.sets, self.folded, where)
        arguments = zip(self.folded.items(), self.selection.arguments, strict=True)
        bound = {label: self._bind(label, m, nodes) for (label, m), nodes in arguments}
        self.aggregates = tuple(bound.values())
        self.columns = {k: self._column(k, m, bound) for k, m in self.measures.items()}
        self._prepare()

    def __repr__(self) -> str:
        return f"Metric({self.id!r})"

    @property
    def id(self) -> str:
        """Name and 12 hexadecimal digits of the definition's SHA-256."""
        # Not before it is asked for: a map function may be declared after the metric.
        return f"{self.name}-{self._fingerprint()}"

    @property
    def is_plain(self) -> bool:
        """Whether dimensions and arguments are fields, and every event counts once."""
        chosen = self.selection
        is_every_event = chosen.where is None and chosen.array is None
        is_named = [node.text for node in chosen.by] == list(self.by)
        are_fields = all(isinstance(node, Column) for node in chosen.nodes)
        return is_every_event and is_named and are_fields

    def dimension_type(self, name: str) -> FieldType:
        """The type of the values of the dimension `name`."""
        return self.selection.by[self.by.index(name)].type

    @property
    def number_fields(self) -> dict[str, FieldType]:
        """The measures that are numbers, as an expression may name them."""
        # As floats, since a quotient of two counts shall have its fraction.
        kinds = {label: column.kind for label, column in self.columns.items()}
        return {n: FieldType("float", nullable=True) for n, k in kinds.items() if k in NUMBERS}

    def set_for(self, names: Collection[str]) -> int:
        """The index of the smallest grouping set that has all dimensions `names`.

        Raises:
            QueryError: No grouping set has them all.
        """
        fit = [i for i, dims in enumerate(self.sets) if all(name in dims for name in names)]
        if not fit:
            have = ", ".join(f"({', '.join(dims)})" for dims in self.sets)
            raise QueryError(
                f"metric {self.name!r} has no grouping set that holds {', '.join(names)}; its "
                f"sets are: {have}"
            )
        return min(fit, key=lambda index: len(self.sets[index]))

    def dims_prefix(self, names: Collection[str]) -> str:
        """How the stored dimensions begin of all rows that answer by the dimensions `names`.

        Raises:
            QueryError: No grouping set has them all.
        """
        number = self.set_for(names)
        if not self.selection.sets:
            return ""
        return f"[{number}," if self.sets[number] else f"[{number}]"

    def read_dims(self, text: str) -> tuple[int, Dimensions]:
        """The index of the grouping set, and the dimension values, that a row is stored by."""
        values = load_dims(text)
        if not self.selection.sets:
            return 0, values
        return cast("int", values[0]), values[1:]

    def zero(self, exact: bool = False) -> States:
        """The states that nothing is folded into; `exact` ones keep what exact answers need."""
        return self._zero(exact)

    def add(self, states: States, fields: Mapping[str, object], time: int = 0) -> None:
        """Fold one event into `states`, in place, whatever its dimensions.

        Args:
            states: Of this metric; they change.
            fields: Of the event, by name.
            time: Event time, ms UTC.

        Raises:
            BadEventError: A key is too long; the event is none of this metric.
            MapError: A map function took a field away, or changed its type.
        """
        for dims, elements in self.rows(fields, time):
            # Each grouping set has the whole event; the first stands for all.
            if not self.selection.sets or dims[0] == 0:
                for values in elements:
                    self.add_values(states, values)

    def merge(self, states: States, other: States) -> None:
        """Merge `other` into `states`, in place; `other` does not change."""
        for index, aggregate in enumerate(self.aggregates):
            states[index] = aggregate.merge(states[index], other[index])

    def estimate(self, states: States, missing_events: int = 0) -> tuple[Estimate, ...]:
        """One estimate for each of `aggregates`.

        Args:
            states: Of this metric.
            missing_events: How many more events may belong to them; the bounds allow for it.
        """
        pairs = zip(self.aggregates, states, strict=True)
        return self.widened([a.present(state) for a, state in pairs], missing_events)

    def widened(
        self, estimates: Sequence[Estimate], missing_events: int = 0
    ) -> tuple[Estimate, ...]:
        """The estimates that `estimate` gives with missing events, of those without.

        Args:
            estimates: One for each of `aggregates`.
            missing_events: How many more events may belong to them.
        """
        pairs = list(zip(self.aggregates, estimates, strict=True))
        if not missing_events:
            return tuple(estimates)
        if self.selection.array is None:
            return tuple([a.widen(seen, missing_events) for a, seen in pairs])
        return tuple([widened_by_any(a, seen) for a, seen in pairs])

    def answers(self, folded: Sequence[Estimate], length_ms: int) -> tuple[Estimate, ...]:
        """One estimate for each measure, derived or not, in order.

        Args:
            folded: What `estimate` gave.
            length_ms: Of the interval that is answered.
        """
        if list(self.columns) == list(self.folded):
            return tuple(folded)
        estimates = dict(zip(self.folded, folded, strict=True))
        for label, column in self.columns.items():
            if isinstance(column, Derived):
                parts = [estimates[name] for name in column.parts]
                estimates[label] = column.derive(parts, length_ms)
        return tuple([estimates[label] for label in self.columns])

    def dump(self, states: States) -> bytes:
        """One envelope of all states, for a serving store; large ones may become estimates.

        Raises:
            CorruptStateError: It would be larger than 1 MiB.
        """
        try:
            return self._dump(states)
        except CorruptStateError as error:
            raise CorruptStateError(f"metric {self.name!r}: {error}") from error

    def dump_whole(self, states: States) -> bytes:
        """One envelope of all states, whole; it may be too large for a serving store.

        Raises:
            CorruptStateError: It would be larger than 1 GiB.
        """
        pairs = zip(self.aggregates, states, strict=True)
        parts = [(aggregate.code, dump_whole(aggregate, state)) for aggregate, state in pairs]
        return pack(parts, MAX_WHOLE_BYTES)

    def load(self, blob: bytes) -> States:
        """The states of an envelope that `dump` or `dump_whole` wrote.

        Raises:
            CorruptStateError: The bytes do not verify, or are of other measures.
        """
        parts = unpack(blob, self._codes, MAX_WHOLE_BYTES)
        pairs = zip(self.aggregates, parts, strict=True)
        return [aggregate.load(part) for aggregate, part in pairs]

    def _prepare(self) -> None:
        self._codes = [aggregate.code for aggregate in self.aggregates]
        self._zero = compile_zero(self.aggregates)
        self._dump = compile_dumping(self.aggregates)
        self.rows = cast("Folding", compile_rows(self.selection, self.source.mapper_place))
        pairs = zip(self.aggregates, self.selection.arguments, strict=True)
        self.add_values = compile_adding([(a, not arguments) for a, arguments in pairs])
        self._signed: tuple[object, str] | None = None

    def _fingerprint(self) -> str:
        mapper = self.source.mapper
        if self._signed is None or self._signed[0] is not mapper:
            # Derived measures are left out: they change nothing that is stored.
            chosen = self.selection
            arguments = zip(self.folded.items(), chosen.arguments, strict=True)
            measures = [[label, *_signature(m, nodes)] for (label, m), nodes in arguments]
            by = [[name, *_typed_text(node)] for name, node in zip(self.by, chosen.by, strict=True)]
            where = None if chosen.where is None else _typed_text(chosen.where)
            parts = [self.name, self.source.describe(), by, where, measures, self.window_ms]
            parts += [list(map(list, self.sets))] if chosen.sets else []
            digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
            self._signed = (mapper, digest)
        return self._signed[1]

    def _fields(self) -> Mapping[str, FieldType]:
        """What expressions may name."""
        return self.source.schema.fields

    def _check_names(self) -> None:
        if message := wrong_name(self.name, self.by, self.measures):
            self._fail(message)

    def _bind(self, label: str, measure: Measure, arguments: Sequence[Node]) -> Aggregate:
        if type(measure).__repr__ is object.__repr__:
            # It would be another metric in each process.
            self._fail(f"measure {label!r} has no repr to be told by: make its class a dataclass")
        try:
            aggregate = measure.bind(*[node.type for node in arguments])
        except DeclarationError as error:
            user = f"{self.place}: measure {label!r} of metric {self.name!r}"
            raise DeclarationError(f"{user}: {error}") from error
        if aggregate.code not in range(1, 256):
            self._fail(f"the code of measure {label!r} is {aggregate.code}; yours are 128 to 255")
        return aggregate

    def _column(
        self, label: str, measure: Measure | Derived, bound: Mapping[str, Aggregate]
    ) -> Aggregate | Derived:
        if not isinstance(measure, Derived):
            return bound[label]
        try:
            measure.check(self.measures, bound)
        except DeclarationError as error:
            self._fail(f"measure {label!r}: {error}")
        return measure

    def _fail(self, message: str) -> None:
        raise DeclarationError(f"{self.place}: metric {self.name!r}: {message}")


def wrong_name(metric: str, by: Collection[str], measures: Collection[str]) -> str | None:
    """What is wrong with the names of a metric, its dimensions and measures; None for nothing."""
    for name in (metric, *measures):
        if not _NAME.fullmatch(name):
            return f"{name!r} is no name: 1 to 48 of a-z, 0-9 and _, a letter first"
    if clash := _COLUMNS.intersection(by):
        return f"the dimension {min(clash)!r} has the name of a column of every answer"
    taken = _COLUMNS | set(by)
    columns = [f"{label}{suffix}" for label in measures for suffix in ("", "_lower", "_upper")]
    doubled = {name for name in columns if name in taken or columns.count(name) > 1}
    if doubled:
        return f"the measure name gives the column {min(doubled)!r}, which is taken"
    return None


def _typed_text(node: Node) -> list[str]:
    return [node.text, repr(node.type)]


def _signature(measure: Measure, arguments: Sequence[Node]) -> list[object]:
    """What tells a measure from others: its `repr`, however its arguments are written."""
    printed = repr(measure)
    for text, node in zip(measure.arguments, arguments, strict=True):
        printed = printed.replace(repr(text), repr(node.text))
    return [printed, [_typed_text(node) for node in arguments]]
