"""The tables of the SQL stores."""

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, MetaData, Table, Text

from fastdata.store.protocol import NEVER

__all__ = [
    "LAYOUT",
    "MIGRATIONS",
    "TEXT",
    "gaps",
    "heads",
    "layout",
    "metadata",
    "partials",
    "progress",
    "runs",
    "totals",
]

LAYOUT = 2
"""The version of this layout; a newer one is refused."""

metadata = MetaData()

TEXT = Text().with_variant(Text(collation="C"), "postgresql")
"""In PostgreSQL sorted as in Python and SQLite, whatever the language of the database is."""


def _key(name: str) -> Column[int]:
    return Column(name, BigInteger, primary_key=True, autoincrement=False)


def _name(name: str) -> Column[str]:
    return Column(name, TEXT, primary_key=True)


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


layout = Table("layout", metadata, _key("version"))

partials = Table(
    "partials",
    metadata,
    _name("metric"),
    _key("window"),
    _name("dims"),
    _key("partition"),
    _key("segment"),
    _number("span"),
    _number("stamp"),
    Column("state", LargeBinary, nullable=False),
)

totals = Table(
    "totals",
    metadata,
    _name("metric"),
    # Before the span: the rows of one run lie together, are appended, counted and dropped so.
    _key("version"),
    _key("span"),
    _key("window"),
    _name("dims"),
    Column("state", LargeBinary, nullable=False),
)

heads = Table(
    "heads",
    metadata,
    _name("metric"),
    _key("span"),
    _number("version"),
    Column("coverage", Text, nullable=False),
    Column("previous_version", BigInteger),
    Column("previous_coverage", Text),
)

runs = Table(
    "runs",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("metric", TEXT, nullable=False),
    _number("start"),
    _number("end"),
    Column("coverage", Text, nullable=False),
    Column("is_done", Boolean, nullable=False),
    sqlite_autoincrement=True,  # a number is never used again
)

gaps = Table(
    "gaps",
    metadata,
    _name("topic"),
    _key("partition"),
    _key("start"),
    _number("end"),
)

progress = Table(
    "progress",
    metadata,
    _name("topic"),
    _key("partition"),
    _number("next_offset"),
    _number("watermark"),
    _number("updated"),
    _number("read_until"),
    Column("is_at_end", Boolean, nullable=False),
    Column("epoch", Text, nullable=False),
)

MIGRATIONS = {
    1: (
        f"ALTER TABLE progress ADD COLUMN read_until BIGINT NOT NULL DEFAULT {NEVER}",
        "ALTER TABLE progress ADD COLUMN is_at_end BOOLEAN NOT NULL DEFAULT FALSE",
        "ALTER TABLE progress ADD COLUMN epoch TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE gaps DROP COLUMN earliest",
        "ALTER TABLE gaps DROP COLUMN latest",
    )
}
"""What makes the next layout of an earlier one."""
