"""What is measured: a module for each kind of measure, and the bytes of its states.

`aggregate` says what a measure becomes; `numbers`, `items` and `exact_or_sketch` have what several
share. What a measure of your own needs (docs/measures.md) is here: `unbounded` and `wrong_type`.
"""

from fastdata.events.values import wrong_type
from fastdata.measures.aggregate import Aggregate
from fastdata.measures.numbers import unbounded

__all__ = ["Aggregate", "unbounded", "wrong_type"]
