"""The expressions of a metric: those of its dimensions, its condition, and what it measures."""

import re
from collections.abc import Mapping, Sequence
from typing import NoReturn, Protocol

from fastdata.errors import DeclarationError
from fastdata.events.fieldtypes import FieldType, Kind
from fastdata.expressions import Node, Selection, array_of, describe, parse_expression

__all__ = ["By", "ExpressionReader"]

By = Sequence[str | Sequence[str]] | Mapping[str, str]
"""The argument `by` of a metric: fields, grouping sets of fields, or expressions by name."""
GroupingSets = tuple[tuple[str, ...], ...]

_DIMENSION = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SET_TYPES = (tuple, list)
_DIMENSION_KINDS: tuple[Kind, ...] = ("string", "int", "bool", "timestamp", "date")


class _HasArguments(Protocol):
    @property
    def arguments(self) -> tuple[str, ...]: ...


class ExpressionReader:
    """Reads the expressions of one metric.

    Args:
        fields: What expressions may name.
        place: Where the metric is declared, for messages.
        metric: Its name, for messages.
    """

    def __init__(self, fields: Mapping[str, FieldType], place: str, metric: str) -> None:
        self._fields = fields
        self._place = place
        self._metric = metric

    def dimensions(
        self, by: By, grouping_sets: Sequence[Sequence[str]] | None = None
    ) -> tuple[dict[str, Node], GroupingSets]:
        """The expressions of the dimensions, by name, and the grouping sets of these names.

        Where no grouping set is declared, all dimensions are one.

        Args:
            by: Of the metric; its members may be the grouping sets.
            grouping_sets: Of the metric.

        Raises:
            DeclarationError: A dimension is unnamed, named twice, of a kind that is no dimension,
                or in no set; or a set is no list of them, or there twice.
        """
        if isinstance(by, str):
            self._fail(f"by is a list of fields, as in by=[{by!r}]")
        if not isinstance(by, Mapping):
            by = list(by)
            if any(isinstance(member, _SET_TYPES) for member in by):
                if grouping_sets is not None:
                    self._fail("by holds grouping sets already; take grouping_sets away")
                by, grouping_sets = self._flattened(by), by
            by = self._listed(by)
        dimensions = {}
        for name, text in by.items():
            if not isinstance(name, str) or not _DIMENSION.fullmatch(name):
                self._fail(f"{name!r} is no name of a dimension: use letters, digits and _")
            node = self._read(text, "by" if name == text else f"by[{name!r}]")
            if node.type.kind not in _DIMENSION_KINDS:
                fit = ", ".join(_DIMENSION_KINDS)
                kind = describe(node.type)
                self._fail(f"the dimension {name!r} holds {kind}; what fits is: {fit}")
            dimensions[name] = node
        names = tuple(dimensions)
        return dimensions, (names,) if grouping_sets is None else self._sets(grouping_sets, names)

    def selection(
        self,
        by: Mapping[str, Node],
        sets: GroupingSets,
        measures: Mapping[str, _HasArguments],
        where: str | None,
    ) -> Selection:
        """All expressions of the metric, parsed and typed.

        Args:
            by: The expressions of the dimensions, by name.
            sets: The grouping sets.
            measures: By name; derived ones are not among them.
            where: The condition, if there is one.

        Raises:
            DeclarationError: An expression is wrong, or two unnest different arrays.
        """
        selection = Selection(
            where=None if where is None else self._condition(where),
            by=tuple(by.values()),
            arguments=tuple([self._arguments(*pair) for pair in measures.items()]),
            timed=tuple([bool(getattr(measure, "timed", False)) for measure in measures.values()]),
            sets=tuple([tuple(map([*by].index, names)) for names in sets]) if len(sets) > 1 else (),
        )
        arrays = [array.text for array in array_of(*selection.nodes)]
        if len(arrays) > 1:
            self._fail(
                f"it unnests {' and '.join(arrays)}, but an event folds the elements of one array; "
                "declare a metric for each"
            )
        return selection

    def _flattened(self, sets: Sequence[object]) -> list[str]:
        """The dimensions of all grouping sets, each once."""
        names: list[str] = []
        for members in sets:
            if not isinstance(members, _SET_TYPES):
                self._fail(f"by holds grouping sets, and {members!r} is none; write ({members!r},)")
            for name in members:
                if name not in names:
                    names.append(name)
        return names

    def _listed(self, by: Sequence[object]) -> dict[str, str]:
        """The fields of a list as expressions by name."""
        names: dict[str, str] = {}
        for text in by:
            if not isinstance(text, str):
                self._fail(f"by has {text!r} in it; give names of fields")
            if text not in self._fields and not _DIMENSION.fullmatch(text):
                self._fail(f"the dimension {text!r} needs a name, as in by={{'name': {text!r}}}")
            if text in names:
                self._fail(f"a dimension is named twice in {list(by)}")
            names[text] = text
        return names

    def _sets(self, declared: Sequence[object], names: Sequence[str]) -> GroupingSets:
        if isinstance(declared, str) or not declared:
            self._fail("grouping_sets is a list of sets, as in grouping_sets=[(), ('country',)]")
        sets: dict[tuple[str, ...], object] = {}
        for members in declared:
            if not isinstance(members, _SET_TYPES):
                self._fail(f"grouping_sets has {members!r} in it; write ({members!r},)")
            if unknown := [name for name in members if name not in names]:
                have = ", ".join(names) or "none"
                self._fail(f"the set {members} has {unknown[0]!r}, no dimension; there are: {have}")
            if len(set(members)) < len(members):
                self._fail(f"a dimension is named twice in the set {members}")
            chosen = tuple([name for name in names if name in members])
            if chosen in sets:
                self._fail(f"the sets {sets[chosen]} and {members} are the same; leave one out")
            sets[chosen] = members
        if lost := set(names).difference(*sets):
            self._fail(f"the dimension {min(lost)!r} is in no grouping set; add it to one")
        return tuple(sets)

    def _condition(self, where: str) -> Node:
        node = self._read(where, "where")
        if node.type.kind != "bool":
            kind = describe(node.type)
            self._fail(f"where={where!r} is no condition but {kind}; compare it with something")
        return node

    def _arguments(self, label: str, measure: _HasArguments) -> tuple[Node, ...]:
        if isinstance(measure, type):
            self._fail(
                f"measure {label!r} is the class {measure.__name__}; call it, as in "
                f"{measure.__name__}('field')"
            )
        if not hasattr(measure, "bind"):
            self._fail(f"measure {label!r} is {measure!r}; use Count(), Sum('field') or the like")
        return tuple([self._read(text, f"measure {label!r}") for text in measure.arguments])

    def _read(self, text: str, part: str) -> Node:
        user = f"{self._place}: {part} of metric {self._metric!r}"
        return parse_expression(text, self._fields, user)

    def _fail(self, message: str) -> NoReturn:
        raise DeclarationError(f"{self._place}: metric {self._metric!r}: {message}")
