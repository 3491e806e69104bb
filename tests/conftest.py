"""What every test relies on: no settings from outside, and no hurry on a busy machine."""

import os
import signal

from hypothesis import settings

pytest_plugins = [
    "tests.support.mocklab", "tests.support.orders", "tests.support.services.fixtures",
]  # fmt: skip

# A background job of a shell ignores Ctrl-C, and so would processes that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

for _name in [n for n in os.environ if n.startswith("FASTDATA_")]:
    # FASTDATA_TEST_* say how to test: where the data sets are, how many seeds.
    if not _name.startswith("FASTDATA_TEST_"):
        del os.environ[_name]

# A change is judged by what it changes: the same examples each time, unless somebody wants more.
_IS_SEARCH = "FASTDATA_TEST_EXAMPLES" in os.environ
settings.register_profile("fastdata", deadline=None, print_blob=True, derandomize=not _IS_SEARCH)
settings.load_profile("fastdata")
