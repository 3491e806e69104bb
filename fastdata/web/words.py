"""The words of a query, as a URL has them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from fastdata.answer.query import Question, question_of
from fastdata.declare.derived import AnyMetric
from fastdata.errors import QueryError

__all__ = ["Form", "QueryWords", "QuestionWords", "RangeWords", "form_of"]

Form = Literal["json", "csv", "arrow"]
MEDIA_TYPES: Mapping[Form, str] = {
    "json": "application/json",
    "csv": "text/csv",
    "arrow": "application/vnd.apache.arrow.stream",
}
_Text = Annotated[str, StringConstraints(max_length=4_096)]
_Texts = Annotated[list[_Text], Field(max_length=100)]


class RangeWords(BaseModel):
    """Over which interval."""

    model_config = ConfigDict(extra="forbid")

    start: _Text | None = Field(
        None, alias="from", description="Start: an ISO date or time; without an offset, of `zone`."
    )
    end: _Text | None = Field(
        None, alias="to", description="Exclusive end. Without both: all that is known."
    )
    last: _Text | None = Field(
        None, description="Instead of `from`: so long before `to`, or before now, as in `24h`."
    )
    zone: _Text | None = Field(
        None, description="Time zone, as in `Europe/Berlin`. Without it that of the metric."
    )


class QuestionWords(RangeWords):
    """The words of `fastdata query`, with the same meaning."""

    every: _Text = Field(
        "1h", description="Width of a row: `1m`, `1h`, …, `day`, `week`, `month` or `all`."
    )
    rolling: _Text | None = Field(
        None, description="With `every=day`: days that end with it, as in `30d`."
    )
    by: _Texts = Field([], description="Dimensions, with commas or given again.")
    where: _Texts = Field(
        [], description="Which dimensions to answer about, as SQL; all of several must hold."
    )
    measures: _Texts = Field([], description="Only these measures, with commas or given again.")
    order: _Texts = Field([], description="Sort the rows, as in `events desc, origin`.")
    limit: int | None = Field(None, ge=1, lt=1 << 31, description="So many rows at most.")
    item: _Texts = Field(
        [], description="What a Frequency or Seen is asked about, as in `hits=/home`."
    )

    def about(self, metric: AnyMetric) -> Question:
        """The question about a metric.

        Raises:
            QueryError: A word is wrong.
        """
        where = " AND ".join(f"({condition})" for condition in self.where)
        return question_of(
            metric,
            self.start,
            self.end,
            last=self.last,
            every=self.every,
            rolling=self.rolling,
            zone=self.zone,
            by=_listed(self.by),
            where=(where if len(self.where) > 1 else self.where[0]) if self.where else None,
            measures=_listed(self.measures) if self.measures else None,
            order=self.order,
            limit=self.limit,
            items=_items(self.item),
        )


class QueryWords(QuestionWords):
    """The same, and in which form to answer."""

    format: Form | None = Field(None, description="Goes before the header `Accept`.")


def _listed(texts: Sequence[str]) -> list[str]:
    return [name.strip() for text in texts for name in text.split(",") if name.strip()]


def _items(texts: Sequence[str]) -> dict[str, str]:
    for text in texts:
        if "=" not in text:
            raise QueryError(f"item is {text!r}; give a measure and an item, as in 'hits=/home'")
    return dict(text.split("=", 1) for text in texts)


def form_of(word: Form | None, accept: str) -> Form:
    """In which form to answer: what the URL says, else what the client likes best, else JSON.

    Args:
        accept: The header of that name; may be empty.
    """
    if word is not None:
        return word
    forms = {media_type: form for form, media_type in MEDIA_TYPES.items()}
    best: Form = "json"
    weight = 0.0
    for part in accept.split(","):
        media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if media_type in forms and (liked := _weight(parameters)) > weight:
            best, weight = forms[media_type], liked
    return best


def _weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0
