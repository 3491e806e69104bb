"""Results as tables and bars: pure functions of what a run wrote down."""

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any

Row = dict[str, Any]
Column = tuple[str, Callable[[Row], str]]


def table(rows: Iterable[Row], columns: Sequence[Column]) -> str:
    """Rows in Markdown, numbers to the right; one that was not run says why instead."""
    lines = [[name for name, _ in columns]]
    for row in rows:
        cells = [str(show(row)) for _, show in columns if not row.get("not_run")]
        lines.append(cells or [row["system"], f"not run: {row['not_run']}"])
        lines[-1] += [""] * (len(columns) - len(lines[-1]))
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    is_number = [all(_is_number(line[n]) for line in lines[1:]) for n in range(len(columns))]
    rule = ["-" * (width - 1) + (":" if right else "-")
            for width, right in zip(widths, is_number, strict=True)]  # fmt: skip
    lines.insert(1, rule)
    return "\n".join(
        "| " + " | ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, is_number, strict=True)
        ) + " |"
        for line in lines
    )  # fmt: skip


def _is_number(cell: str) -> bool:
    return not cell or cell.rstrip("x").replace(",", "").replace(".", "").strip("% ").isdigit()


def ratio(value: float, base: float | None) -> str:
    """How many times the base, in two digits that mean something."""
    if not base:
        return ""
    times = value / base
    return f"{times:.0f}x" if times >= 20 else f"{times:.1f}x" if times >= 2 else f"{times:.2f}x"


def base_of(rows: Sequence[Row], row: Row) -> float | None:
    """What fastdata took for the same load and the same measures, in us of CPU."""
    name = "fastdata, count only" if row["count_only"] else "fastdata"
    found = [r for r in rows if r["load"] == row["load"] and r["system"] == name]
    return found[0].get("us_cpu") if found else None


def number(name: str, digits: int = 0) -> Callable[[Row], str]:
    """A column of numbers, with so many digits after the point."""
    return lambda row: f"{row[name]:,.{digits}f}"


def text(name: str) -> Callable[[Row], str]:
    """A column of words."""
    return lambda row: str(row[name])


def is_right(row: Row) -> str:
    """Whether each event was counted once."""
    return "yes" if row["wrong"] == 0 else f"no: {row['wrong']:,} wrong"


def worker(rows: Sequence[Row]) -> str:
    """Tables of one load each."""
    tables = []
    for load in dict.fromkeys(row["load"] for row in rows):
        columns: list[Column] = [
            ("system", text("system")),
            ("CPU µs an event", number("us_cpu", 1)),
            ("to fastdata", lambda row: ratio(row["us_cpu"], base_of(rows, row))),
            ("wall µs", number("us_wall", 1)),
            ("peak MB", number("peak_mb")),
            ("measures", text("measures")),
            ("what survives its end", text("keeps")),
            ("events", number("events")),
            ("all counted once", is_right),
        ]
        of_load = [row for row in rows if row["load"] == load]
        tables.append(f"**{load.capitalize()}**\n\n{table(of_load, columns)}")
    return "\n\n".join(tables)


def replay(rows: Sequence[Row]) -> str:
    """One table."""
    base = next((row["cpu_s"] for row in rows if row["system"] == "fastdata replay"), None)
    columns: list[Column] = [
        ("system", text("system")),
        ("CPU s", number("cpu_s", 2)),
        ("CPU µs an event", number("us_cpu", 1)),
        ("to fastdata", lambda row: ratio(row["cpu_s"], base)),
        ("wall s", number("wall_s", 2)),
        ("events", number("events")),
        ("all counted once", is_right),
    ]
    return table(rows, columns)


def query(rows: Sequence[Row]) -> str:
    """One table."""
    columns: list[Column] = [
        ("metric", text("metric")),
        ("query", text("query")),
        ("rows", number("rows")),
        ("CPU ms", number("cpu_ms", 1)),
        ("p50 ms", number("p50_ms", 1)),
        ("p99 ms", number("p99_ms", 1)),
    ]
    return table(rows, columns)


def fresh(rows: Sequence[Row]) -> str:
    """One table."""
    columns: list[Column] = [
        ("of the capacity", lambda row: f"{100 * row['share']:.0f} %"),
        ("events/s", number("events_per_s")),
        ("p50 ms", number("p50_ms")),
        ("p99 ms", number("p99_ms")),
        ("events", number("sent")),
        ("queries", number("queries")),
    ]
    return table(rows, columns)


def growth(rows: Sequence[Row]) -> str:
    """One table."""
    names = ("events", "partitions", "processes")
    columns: list[Column] = [
        *((name, number(name)) for name in names),
        ("CPU µs an event", number("us_cpu", 1)),
        ("to the first", lambda row: ratio(row["us_cpu"], rows[0]["us_cpu"])),
        ("events/s", number("events_per_s")),
        ("peak MB", number("peak_mb")),
        ("all counted once", is_right),
    ]
    return table(rows, columns)


def start(rows: Sequence[Row]) -> str:
    """One table."""
    columns: list[Column] = [
        ("command", lambda row: f"`{row['command']}`"),
        ("CPU ms", number("ms_cpu")),
        ("to Python alone", lambda row: ratio(row["ms_cpu"], rows[0]["ms_cpu"])),
        ("wall ms", number("ms_wall")),
    ]
    return table(rows, columns)


PARTS: dict[str, Callable[[Sequence[Row]], str]] = {
    "worker": worker,
    "replay": replay,
    "start": start,
    "query": query,
    "fresh": fresh,
    "growth": growth,
}


def machine(results: Row) -> str:
    """Where and how the figures were made, in one paragraph."""
    facts, load = results["machine"], results["load"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"{facts['date']}, {facts['cpu']}, {facts['cores']} cores, {facts['memory_gb']} GB, "
        f"{facts['system']}, Python {facts['python']}. {versions}. "
        f"Peers: {', '.join(results['peers'])}. "
        f'`make bench ARGS="{results["arguments"]}"`, {load["seconds"]:.0f} s, in which this run '
        f"used {load['own_cores']} cores on average and others {load['other_cores']}; load average "
        f"at its end {load['load_average']}."
    )


def bars(title: str, values: Sequence[tuple[str, float]], unit: str) -> str:
    """A bar chart as SVG, those of fastdata in another colour; legible on dark and on light."""
    most = max((value for _, value in values), default=0.0) or 1.0
    left, width, step = 190, 360, 26
    parts = [f'<text x="0" y="16" font-weight="bold">{escape(title)}</text>']
    for place, (label, value) in enumerate(values):
        y = 32 + place * step
        colour = "#2f81f7" if label.startswith("fastdata") else "#9198a1"
        length = max(1.0, width * value / most)
        parts += [
            f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{escape(label)}</text>',
            f'<rect x="{left}" y="{y}" width="{length:.1f}" height="18" rx="2" fill="{colour}"/>',
            f'<text x="{left + length + 6:.1f}" y="{y + 13}">{value:,.3g} {escape(unit)}</text>',
        ]
    height, all_width = 36 + step * len(values), left + width + 100
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {all_width} {height}" '
        f'width="{all_width}" height="{height}" role="img" aria-label="{escape(title)}" '
        'font-family="system-ui, sans-serif" font-size="13" fill="#768390">\n'
        + "\n".join(parts) + "\n</svg>\n"
    )  # fmt: skip


def label(row: Row) -> str:
    """A system, and that it only counts."""
    system = str(row["system"])
    is_said = not row["count_only"] or system.endswith("count only")
    return system if is_said else f"{system}, count only"


def charts(results: Row) -> dict[str, str]:
    """The pictures of a page, by the names of their files."""
    found, parts = {}, results["parts"]
    loads = {"1,000 pages a minute": "worker-pages", "flights": "worker-flights"}
    for load, name in loads.items():
        rows = [r for r in parts.get("worker", []) if r["load"] == load and "us_cpu" in r]
        if rows:
            values = [(label(row), row["us_cpu"]) for row in rows]
            found[f"{name}.svg"] = bars(f"CPU an event, {load}", values, "µs")
    rows = [row for row in parts.get("replay", []) if "cpu_s" in row]
    if rows:
        values = [(row["system"], row["cpu_s"]) for row in rows]
        found["replay.svg"] = bars(f"CPU of {rows[0]['events']:,} events", values, "s")
    return found


def page(before: str, results: Row) -> str:
    """The page with the tables of these results; what lies between the marks is replaced."""
    blocks = {"machine": machine(results)}
    blocks |= {name: PARTS[name](rows) for name, rows in results["parts"].items()}
    for name, block in blocks.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        head, _, rest = before.partition(begin)
        tail = rest.partition(end)[2]
        if not rest:
            raise ValueError(f"the page has no {begin.strip()}")
        before = f"{head}{begin}\n{block}\n\n{end}{tail}"
    return before
