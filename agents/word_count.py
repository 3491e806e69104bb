"""The words of lines of text: how often each one came.

fastdata send lines --listen 127.0.0.1:9999          # and write into it with a TCP client
fastdata query words --every all --by word
"""

from fastdata import Count, Metric, Source

lines = Source("lines", topic="lines", schema="schemas/line.avsc", time="at", format="text")


@lines.map
def split(event: dict[str, object]) -> dict[str, object]:
    """Find the words of a line."""
    event["words"] = str(event["line"]).lower().split()
    return event


words = Metric("words", lines, by={"word": "unnest(words)"}, measures={"count": Count()})
