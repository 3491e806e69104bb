"""Functions whose Python is written while the program runs."""

import gc
import linecache
import traceback

import pytest

from fastdata.events.functions import make_function

SOURCE = "def half(number):\n    part = number / two\n    return part"


def test_a_function_has_the_names_that_it_uses() -> None:
    assert make_function(SOURCE, {"two": 2}, "halves")(7) == 3.5


def test_a_traceback_shows_its_title_and_its_line() -> None:
    half = make_function(SOURCE, {"two": 0}, "halves")
    linecache.checkcache()
    with pytest.raises(ZeroDivisionError) as raised:
        half(7)
    text = "".join(traceback.format_tb(raised.tb))
    assert 'File "<halves ' in text
    assert "part = number / two" in text


def test_the_lines_of_functions_that_are_gone_are_forgotten() -> None:
    functions = [make_function(SOURCE, {"two": 2}, "gone") for _ in range(3)]
    assert len([file for file in linecache.cache if file.startswith("<gone ")]) == 3
    del functions
    gc.collect()
    assert not [file for file in linecache.cache if file.startswith("<gone ")]
