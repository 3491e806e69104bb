"""Values of fields, which a map function may have changed."""

from fastdata.errors import MapError

__all__ = ["to_float", "wrong_type"]


def wrong_type(field: str, expected: str, value: object) -> MapError:
    """The error to raise for a value that only a map function can have made.

    Args:
        field: Its name, for the message.
        expected: What belongs there, as in "an int".
        value: What is there.
    """
    return MapError(
        f"field {field!r} holds {value!r} ({type(value).__name__}) where {expected} belongs: "
        "a map function must keep the type that the schema declares"
    )


def to_float(field: str, value: object) -> float:
    """The float of a value in a field of floats, where Avro or a map function may leave an int.

    Raises:
        MapError: The value is neither, or an int that no float can hold.
    """
    if isinstance(value, float):
        return float(value)
    try:
        # An Avro default of 0 for a double is read as the int 0.
        if type(value) is int:
            return float(value)
    except OverflowError:
        pass
    raise wrong_type(field, "a float", value)
