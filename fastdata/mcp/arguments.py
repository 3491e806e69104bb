"""The arguments of tools, which are the words of the HTTP API."""

import json
from typing import TYPE_CHECKING, Any, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fastdata.errors import QueryError, did_you_mean
from fastdata.web.words import QuestionWords, RangeWords

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = [
    "DifferenceArguments",
    "NoArguments",
    "QuestionArguments",
    "StatusArguments",
    "checked",
]

_ROWS = 100  # an assistant reads all of them
_A = TypeVar("_A", bound=BaseModel)


class NoArguments(BaseModel):
    """Of a tool that has none."""

    model_config = ConfigDict(extra="forbid")


class _OfMetric(NoArguments):
    metric: str = Field(description="Its name, as `list_metrics` has it.")


class QuestionArguments(QuestionWords, _OfMetric):
    """What to ask of a metric."""

    limit: int = Field(
        _ROWS, ge=1, lt=1 << 31, description="So many rows at most; `is_cut`: there are more."
    )

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, values: Any) -> Any:
        """Takes `"origin,carrier"` and `'["origin"]'` for lists, as assistants write them."""
        lists = [n for n, f in cls.model_fields.items() if get_origin(f.annotation) is list]
        return values | {
            name: _as_list(text) for name in lists if isinstance(text := values.get(name), str)
        }


class DifferenceArguments(RangeWords, _OfMetric):
    """Of which interval to explain the differences."""

    recount: int | None = Field(
        None,
        ge=1,
        le=1_000,
        description="Also recount so many hours of the range from the archive now, first those that"
        " a replay has just counted: all events of an hour are read, so begin with 4.",
    )


class StatusArguments(NoArguments):
    """What is late."""

    max_lag: str = Field("60s", description="What came longer ago should be read, as in `5m`.")
    max_age: str | None = Field(
        None, description="What came longer ago should be counted by a replay, as in `4h`."
    )


def checked(model: type[_A], values: dict[str, Any]) -> _A:
    """The arguments of a call.

    Raises:
        QueryError: One is wrong, missing or not there.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise QueryError("; ".join(_problem(e, model) for e in error.errors())) from None


def _as_list(text: str) -> object:
    if text.startswith("["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            pass  # it is checked as it is
    return [text]


def _problem(error: "ErrorDetails", model: type[BaseModel]) -> str:
    name = ".".join(map(str, error["loc"]))
    if error["type"] != "extra_forbidden":
        return f"{name}: {error['msg']}"
    names = [field.alias or name for name, field in model.model_fields.items()]
    advice = did_you_mean(name, names, f"there are: {', '.join(names) or 'none'}")
    return f"there is no argument {name!r}; {advice}"
