"""Whatever is asked, the server answers, or says what is wrong with it; never 500."""

import asyncio
import json
import random
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.web.serving import Served, serving

PATHS = ["metrics/rides/query"] * 16 + [
    "metrics/ride/query", "metrics/rides:error/query", "metrics/%00/query", "metrics", "replays",
    "quality", "metrics/rides/query/", "..%2f..%2fetc/passwd",
]  # fmt: skip
VALUES = {
    "from": ["2013-01-01", "2013-01-01T12:30", "2013-01-01T12:00:01", "0001-01-01", "9999-12-31"],
    "to": ["2013-01-02", "2013-01-01T14:00Z", "1600-02-29", "2013-02-30", "9999-12-31T23:59"],
    "last": ["1h", "24h", "7d", "0s", "999999999999999999w", "1000000d", "90s", "-1h"],
    "every": ["1m", "1h", "1d", "day", "week", "month", "all", "90s", "0m", "7m", "99999999w"],
    "rolling": ["7d", "30d", "0d", "1d", "99999d", "7", "-7d"],
    "zone": ["UTC", "Europe/Berlin", "America/New_York", "Mars", "../../etc/passwd", "posixrules"],
    "by": ["city", "line", "city,line", "line,line", "town", ",", "window_start"],
    "where": [
        "city = 'Oslo'", "line in (1, 2)", "city is null or line > 1", "city like '%o%'", "1 = 1",
        "city = 'x'; drop table heads", "line = 9223372036854775808", "not not city = ''",
        "(" * 300, "city = 1", "line / 0 = 1", "city || city = 'aa'", "cast(line as string) = '1'",
        "line", "select 1", "city = (select 1)", "case when line = 1 then true else false end", "'",
    ],
    "measures": ["n", "km,mean", "riders", "n,n", "m", ","],
    "order": ["n desc", "window_start", "city, n", "km asc", "n down", "riders desc", ","],
    "limit": ["1", "2", "0", "-1", "1e9", "99999999999999999999", "x"],
    "item": ["n=1", "riders=anna", "x", "=", "riders="],
    "format": ["json", "csv", "arrow", "xml"],
    "nonsense": ["1"],
}  # fmt: skip
ODD = [
    "\x00",
    "%",
    "é",
    "🎈",
    "\ud800",
    "'",
    '"',
    "\\",
    "--",
    "\n",
    "\u202e",
    "9" * 400,
    "A" * 5_000,
]
ACCEPT = [
    "*/*",
    "text/csv",
    "application/json;q=x",
    "application/vnd.apache.arrow.stream",
    "",
    ",;=",
]


def path(chance: random.Random) -> str:
    words = []
    for name in chance.choices(list(VALUES)[:-1], k=chance.randrange(6)):
        value = chance.choice(VALUES[name])
        if chance.random() < 0.2:
            place = chance.randrange(len(value) + 1)
            value = value[:place] + chance.choice(ODD) + value[place:]
        words.append(f"{name}={quote(value, errors='surrogatepass')}")
    if chance.random() < 0.02:
        words.append("nonsense=1")
    return f"/api/v1/{chance.choice(PATHS)}?{'&'.join(words)}"


async def ask(served: Served, path: str, accept: str) -> int:
    response = await served.get(path, accept=accept)
    kind = response.headers["content-type"] if response.content else ""
    shown = f"{path} {accept!r} {response.status_code} {response.text[:300]!r}"
    assert response.status_code < 500, shown
    if response.status_code >= 400:
        assert "application/problem+json" == kind, shown
        assert json.loads(response.content)["detail"], shown
    elif kind == "application/json":
        json.loads(response.content)
    return response.status_code


@pytest.mark.parametrize(
    "requests", [200, pytest.param(10_000, marks=pytest.mark.nightly)], ids=str
)
async def test_no_words_break_the_server(tmp_path: Path, requests: int) -> None:
    chance = random.Random(requests)
    async with serving(tmp_path, web_timeout_s=60) as served:
        codes = []
        for _ in range(requests // 20):
            asked = [(path(chance), chance.choice(ACCEPT)) for _ in range(20)]
            codes += await asyncio.gather(*[ask(served, *each) for each in asked])
        assert 200 == (await served.get("/health/ready")).status_code
    assert {200, 400, 404} <= set(codes)
    assert codes.count(200) > requests / 20
    print({code: codes.count(code) for code in sorted(set(codes))})  # noqa: T201
