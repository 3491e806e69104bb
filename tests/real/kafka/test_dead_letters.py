"""What a worker could not read is sent to it again, and counted when it can."""

import json

from tests.support.lab import Lab, stop

_MAP = """

@clicks.map
def refuse(event):
    if event["page"] == "p3":
        raise ValueError("p3 is not right yet")
    return event
"""


async def test_what_was_mended_is_sent_again_and_folded_once(lab: Lab) -> None:
    app = {"FASTDATA_APPLICATION_ID": lab.topic}
    agents = lab.folder / "agents/clicks.py"
    right = agents.read_text()
    agents.write_text(right.replace('id="id"', 'id="id", on_map_error="dead-letter"') + _MAP)
    lab.produce(100)
    with lab.worker("fastdata", **app) as worker:
        lab.wait_until_folded(100)
        assert stop(worker) == 0
    listed = lab.fastdata("dead-letters", "--json", "--since", "1h", **app)
    letters = json.loads(listed.stdout)
    assert {(x["stage"], x["tries"], x["resent"]) for x in letters} == {("map", 0, False)}
    assert len(letters) == 3
    assert json.loads(lab.fastdata("dead-letters", "--json", "--since", "1ms", **app).stdout) == []

    # Too early: they fail again, and say that they did.
    sent = lab.fastdata("dead-letters", "--resend", "--yes", **app)
    assert sent.stdout.startswith(f"{lab.topic}: 3 sent again (")
    with lab.worker("fastdata", **app) as worker:
        lab.wait_until_folded(103)
        assert stop(worker) == 0
    letters = json.loads(lab.fastdata("dead-letters", "--json", **app).stdout)
    assert sorted((x["tries"], x["resent"]) for x in letters) == [(0, True)] * 3 + [(1, False)] * 3

    agents.write_text(right.replace('id="id"', 'id="id", on_map_error="dead-letter"'))
    for count in (3, 0):
        sent = lab.fastdata("dead-letters", "--resend", "--yes", "--json", **app)
        assert json.loads(sent.stdout)[0]["sent"] == count
    with lab.worker("fastdata", **app) as worker:
        lab.wait_until_folded(106)
        assert stop(worker) == 0
    assert await lab.answer() == lab.expected()
