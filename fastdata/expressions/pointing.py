"""Errors that point at a place in an expression's text."""

from fastdata.errors import DeclarationError

__all__ = ["RefusedError", "pointed"]


class RefusedError(Exception):
    """Something in a text that is not supported.

    Attributes:
        start: Where it begins in the text, in characters from 0.
        end: Exclusive.
    """

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.start = start
        self.end = end


def pointed(user: str, text: str, refused: RefusedError) -> DeclarationError:
    """The error with the line of the text and carets under the part that is meant."""
    start = min(max(refused.start, 0), max(len(text) - 1, 0))
    begin = text.rfind("\n", 0, start) + 1
    line = text[begin:].split("\n", maxsplit=1)[0].replace("\t", " ")
    end = refused.end
    while text[start:end].count("(") > text[start:end].count(")") and text[end : end + 1] == ")":
        end += 1  # the names of functions have places, their brackets have none
    width = max(1, min(end, begin + len(line)) - start)
    carets = " " * (start - begin) + "^" * width
    return DeclarationError(f"{user}: {refused}\n    {line}\n    {carets}")
