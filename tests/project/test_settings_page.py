"""The page of settings shows those that there are."""

from tests.support.settings_page import PAGE, page


def test_the_page_is_what_the_settings_are() -> None:
    text = PAGE.read_text()

    assert page(text) == text, "run: make docs"
