"""What every serving store must do. A new store subclasses `StoreContract` with its own fixture."""

from collections.abc import Iterator

import pytest

from fastdata import failpoints
from fastdata.store.protocol import ServingStore
from tests.store.contract_answers import AnswersContract
from tests.store.contract_clean_up import CleanUpContract
from tests.store.contract_hours import HoursContract
from tests.store.contract_partials import PartialsContract
from tests.store.contract_past_runs import PastRunsContract
from tests.store.contract_rollups import RollupsContract
from tests.store.contract_versions import VersionsContract
from tests.store.samples import METRIC, NOON, ONE, TWO, covering, partial, publish, read
from tests.support.rules import without


class StoreContract(
    PartialsContract,
    VersionsContract,
    CleanUpContract,
    HoursContract,
    RollupsContract,
    PastRunsContract,
    AnswersContract,
):
    """The promises of `ServingStore`; the fixture `store` is an open, empty store."""

    @pytest.fixture(autouse=True)
    def no_failpoints(self) -> Iterator[None]:
        yield
        failpoints.reset()

    async def test_without_larger_stamp_the_last_write_wins(self, store: ServingStore) -> None:
        with without("larger stamp"):
            await store.upsert([partial(stamp=9), partial(stamp=5)], [])
            await store.upsert([partial(stamp=3)], [])
        assert [3] == [p.stamp for p in await store.partials(METRIC, NOON, ONE)]

    async def test_without_join_by_segment_a_head_hides_its_span(self, store: ServingStore) -> None:
        await store.upsert([partial(segment=9), partial(ONE, segment=9)], [])
        await publish(store, covering(p0=1))
        with without("join by segment"):
            assert [ONE] == [p.window for p in (await read(store)).partials]

    async def test_without_own_span_another_span_decides(self, store: ServingStore) -> None:
        await store.upsert([partial(), partial(ONE)], [])
        for n in (1, 2):
            await publish(store, covering(p0=n))
        with without("drop by own span"):
            assert 2 == await store.clean_up(METRIC, NOON, TWO)

    async def test_without_one_behind_the_newest_decides(self, store: ServingStore) -> None:
        await store.upsert([partial()], [])
        await publish(store, covering(p0=1))
        with without("clean one behind"):
            assert 1 == await store.clean_up(METRIC, NOON, TWO)
