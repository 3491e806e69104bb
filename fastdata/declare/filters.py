"""Which combinations of dimensions a question is about."""

from collections.abc import Callable, Mapping, Sequence
from typing import Self

from fastdata.coordinates.dimensions import Dimension
from fastdata.declare.derived import AnyMetric
from fastdata.errors import DeclarationError, MapError, QueryError
from fastdata.expressions import Column, compile_value, describe, nodes_of, parse_expression
from fastdata.expressions.tree import or_null

__all__ = ["Filter"]


class Filter:
    """A condition on the dimensions of a metric.

    Attributes:
        names: The dimensions that it names, each once.
        choices: Of some of them, the values of which they have one wherever it holds.
    """

    def __init__(
        self,
        names: Sequence[str],
        choices: Mapping[str, frozenset[Dimension]],
        condition: Callable[[Mapping[str, object]], object],
    ) -> None:
        self.names = tuple(dict.fromkeys(names))
        self.choices = choices
        self._condition = condition

    @classmethod
    def parse(cls, metric: AnyMetric, text: str) -> Self:
        """The filter of an expression over a metric's dimensions.

        Args:
            text: As in "country = 'DE' and device in ('a', 'b')".

        Raises:
            QueryError: It is none, or no condition; with the place in it.
        """
        user = f"where of a query of metric {metric.name!r}"
        # Whatever the schema says of a field, a map function may have made it null.
        types = {name: or_null(metric.dimension_type(name)) for name in metric.by}
        try:
            node = parse_expression(text, types, user)
        except DeclarationError as error:
            raise QueryError(str(error).replace("no field", "no dimension")) from error
        if node.type.kind != "bool":
            raise QueryError(
                f"{user}: {text!r} is no condition but {describe(node.type)}; compare it with "
                "something"
            )
        # With it comes the parser of SQL, which takes a fifth of a second to load.
        from fastdata.expressions.choices import choices_of

        names = [part.name for part in nodes_of(node) if isinstance(part, Column)]
        return cls(names, choices_of(node), compile_value(node))

    def accepts(self, values: Mapping[str, Dimension]) -> bool:
        """Whether the condition is true of these values of dimensions, by name."""
        try:
            return self._condition(values) is True
        except MapError:  # it can put numbers and text into one field, which do not compare
            return False
