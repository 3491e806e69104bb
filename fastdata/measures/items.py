"""Items that are counted, looked up and compared: strings and 64-bit integers, in stored bytes.

Sketch libraries take any type as some integer, so every value is checked here first.
"""

import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from fastdata.errors import CorruptStateError, QueryError
from fastdata.events.fieldtypes import FieldType
from fastdata.events.values import wrong_type
from fastdata.measures.numbers import unsigned_from_bytes, unsigned_to_bytes

__all__ = ["MAX_EXACT_BYTES", "Item", "Items", "dump_numbers", "load_numbers"]

Item = str | int

MAX_EXACT_BYTES = 64 * 1024  # of values that batch keeps to be exact

_END = b"\xff"  # in no UTF-8


@dataclass(frozen=True, slots=True)
class Items:
    """The values of one field. Strings, or integers: also timestamps and dates since the epoch.

    Attributes:
        field: For messages.
        item_type: Their Python type.
    """

    field: str
    item_type: type[str] | type[int]

    @classmethod
    def of_type(cls, field: str, type: FieldType) -> "Items":
        """The items of a field of strings, enums, integers, timestamps or dates."""
        return cls(field, str if type.kind == "string" else int)

    def check(self, value: object) -> None:
        """Let a value through that is an item.

        Raises:
            MapError: It is of another type, or an integer of more than 64 bits.
        """
        if type(value) is not self.item_type or (
            type(value) is int and not -(2**63) <= value < 2**63
        ):
            raise wrong_type(self.field, f"{self.item_type.__name__} (of 64 bits)", value)

    def size(self, item: Item) -> int:
        """How many bytes an item takes when it is stored."""
        return len(item.encode()) + len(_END) if isinstance(item, str) else 8

    def parse(self, value: object) -> Item:
        """The item that a query asks about; integers may be written as text.

        Raises:
            QueryError: The field cannot hold that value.
        """
        try:
            if isinstance(value, str):
                return self.item_type(value)
            if self.item_type is int and type(value) is int and -(2**63) <= value < 2**63:
                return value
        except ValueError:
            pass
        holds = f"{self.item_type.__name__} (of 64 bits)"
        raise QueryError(f"{value!r} is no value of {self.field!r}, which holds {holds}")

    def fit(self, items: Collection[Item]) -> bool:
        """Whether the items take no more than `MAX_EXACT_BYTES`."""
        if len(items) > MAX_EXACT_BYTES:
            return False
        return sum(map(self.size, items)) <= MAX_EXACT_BYTES

    def dump(self, items: Collection[Item]) -> bytes:
        """The items, each once, sorted: little-endian int64, or UTF-8 with 0xFF behind each."""
        if self.item_type is int:
            return struct.pack(f"<{len(items)}q", *sorted(items))
        texts = cast("list[str]", sorted(items))
        return _END.join([*map(str.encode, texts), b""])

    def load(self, data: bytes) -> list[Item]:
        """The items that `dump` wrote, in its order.

        Raises:
            CorruptStateError: The bytes are cut, or items are not in order.
        """
        items = self.load_any(data)
        if sorted(items) != items or len({*items}) < len(items):
            raise _unreadable(data)
        return items

    def load_any(self, data: bytes) -> list[Item]:
        """The items that `dump` wrote, quicker: their order is not looked at.

        Raises:
            CorruptStateError: The bytes are cut.
        """
        try:
            if self.item_type is int:
                return list(struct.unpack(f"<{len(data) // 8}q", data))
            *parts, rest = data.split(_END)
            if not rest:
                return list(map(bytes.decode, parts))
        except (struct.error, ValueError):
            pass
        raise _unreadable(data)

    def count(self, data: bytes) -> int:
        """How many items `dump` wrote."""
        return len(data) // 8 if self.item_type is int else data.count(_END)

    def joined(self, dumped: Sequence[bytes]) -> bytes:
        """What `dump` wrote of some collections as that of one: in no order, and some twice.

        Raises:
            CorruptStateError: The bytes are cut.
        """
        for data in dumped:
            if len(data) % 8 if self.item_type is int else data and not data.endswith(_END):
                raise _unreadable(data)
        return b"".join(dumped)

    def distinct(self, data: bytes) -> bytes:
        """What `joined` gave, with each item once."""
        from fastdata.measures.stored_columns import distinct

        return distinct(data, None if self.item_type is int else _END)

    def in_order(self, data: bytes) -> bytes:
        """What `distinct` gave, as `dump` writes it."""
        from fastdata.measures.stored_columns import in_order

        return in_order(data, None if self.item_type is int else _END)

    def dump_counts(self, counts: Mapping[Item, int]) -> bytes:
        """The items' size (little-endian uint32), the items, and their counts as LEB128."""
        items = self.dump(counts)
        numbers = dump_numbers([counts[item] for item in sorted(counts)])
        return len(items).to_bytes(4, "little") + items + numbers

    def load_counts(self, data: bytes) -> dict[Item, int]:
        """The counts that `dump_counts` wrote.

        Raises:
            CorruptStateError: The bytes are cut, items are not in order, or a count is 0.
        """
        end = 4 + int.from_bytes(data[:4], "little")
        if len(data) < end:
            raise CorruptStateError(f"stored counts of {len(data)} bytes are cut")
        items, numbers = self.load(data[4:end]), load_numbers(data[end:])
        if len(items) != len(numbers) or 0 in numbers:
            raise CorruptStateError(f"{len(items)} stored items have {len(numbers)} counts")
        return dict(zip(items, numbers, strict=True))


def _unreadable(data: bytes) -> CorruptStateError:
    return CorruptStateError(f"stored items of {len(data)} bytes cannot be read")


def dump_numbers(numbers: Collection[int]) -> bytes:
    """Integers that are not negative, each as unsigned LEB128."""
    return b"".join(map(unsigned_to_bytes, numbers))


def load_numbers(data: bytes) -> list[int]:
    """The integers that `dump_numbers` wrote.

    Raises:
        CorruptStateError: A number is cut, or written longer than it must be.
    """
    numbers, at = [], 0
    while at < len(data):
        number, at = unsigned_from_bytes(data, at)
        numbers.append(number)
    return numbers
