"""What holds for an archive in a folder holds on S3."""

import tests.archive.test_reading
import tests.archive.test_writing

_SUITES = (tests.archive.test_reading, tests.archive.test_writing)

globals().update(
    {name: test for suite in _SUITES for name, test in vars(suite).items() if "test_" in name}
)
