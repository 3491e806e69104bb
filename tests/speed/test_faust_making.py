"""What make_app sets, and what it refuses."""

from pathlib import Path
from typing import Any, cast

import pytest
from faust.transport.drivers.aiokafka import Producer

from fastdata import Settings, make_app
from fastdata.errors import SettingsError
from fastdata.speed.app import take_folder


def settings(tmp_path: Path, broker: str = "localhost:1") -> Settings:
    return Settings.load(state=str(tmp_path), broker=broker, store="memory:")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("processing_guarantee", "at_least_once"),
        ("producer_acks", -1),
        ("producer_threaded", False),
        ("web_enabled", False),
        ("web_bind", "127.0.0.1"),
        ("stream_wait_empty", False),
        ("topic_disable_leader", True),
        ("consumer_auto_offset_reset", "earliest"),
    ],
)
def test_an_app_has_safe_settings(tmp_path: Path, name: str, value: object) -> None:
    conf = make_app(settings=settings(tmp_path)).conf

    found = getattr(conf, name)
    assert getattr(found, "value", found) == value


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ({"processing_guarantee": "exactly_once"}, "loses data"),
        ({"producer_threaded": True}, "not flushed"),
        ({"producer_acks": 1}, "lost with its broker"),
        ({"consumer_auto_offset_reset": "latest"}, "restores nothing"),
        ({"topic_disable_leader": False}, "two leaders"),
        ({"web_enabled": True, "web_bind": "0.0.0.0"}, "to everyone"),
        ({"value_serializer": "pickle"}, "unpickling"),
        ({"key_serializer": "json|pickle"}, "unpickling"),
    ],
)
def test_an_unsafe_override_is_refused_with_the_reason(
    tmp_path: Path, override: dict[str, Any], why: str
) -> None:
    with pytest.raises(SettingsError, match=why):
        make_app(settings=settings(tmp_path), **override)


def test_an_unsafe_override_is_taken_when_that_is_wanted(tmp_path: Path) -> None:
    app = make_app(settings=settings(tmp_path), allow_insecure=True, producer_acks=1)

    assert app.conf.producer_acks == 1


def test_a_harmless_override_is_taken(tmp_path: Path) -> None:
    app = make_app("shop", settings(tmp_path), broker_session_timeout=4.0)

    assert (app.conf.id, app.conf.broker_session_timeout) == ("shop", 4.0)


def test_the_id_of_the_settings_keeps_deployments_apart(tmp_path: Path) -> None:
    deployment = Settings.load(state=str(tmp_path), store="memory:", application_id="shop")

    assert make_app(settings=deployment).conf.id == "shop"


def test_several_brokers_may_be_named(tmp_path: Path) -> None:
    app = make_app(settings=settings(tmp_path, "a:1, b:2"))

    assert [str(url) for url in app.conf.broker] == ["kafka://a:1", "kafka://b:2"]


def test_the_web_server_stays_off_even_when_the_worker_command_turns_it_on(tmp_path: Path) -> None:
    app = make_app(settings=settings(tmp_path))
    app.conf.web_enabled = True

    assert not app.boot_strategy._should_enable_web()


def test_a_web_server_on_loopback_may_be_asked_for(tmp_path: Path) -> None:
    app = make_app(settings=settings(tmp_path), web_enabled=True)

    assert app.boot_strategy._should_enable_web()


async def test_the_producer_of_the_app_is_idempotent(tmp_path: Path) -> None:
    producer = cast(Producer, make_app(settings=settings(tmp_path)).producer)

    assert producer._settings_extra() == {"acks": "all", "enable_idempotence": True}


def test_making_an_app_touches_no_files(tmp_path: Path) -> None:
    make_app(settings=Settings.load(state=str(tmp_path / "state"), store="memory:"))

    assert list(tmp_path.iterdir()) == []


def test_each_worker_takes_a_folder_of_its_own_and_gives_it_back(tmp_path: Path) -> None:
    first, first_lock = take_folder(tmp_path)
    second, second_lock = take_folder(tmp_path)
    del first_lock
    third, _ = take_folder(tmp_path)

    assert [f.name for f in (first, second, third)] == ["worker-0", "worker-1", "worker-0"]
    del second_lock


def test_a_state_folder_that_cannot_be_used_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(SettingsError, match=r"state folder .*file/state cannot be used"):
        take_folder(tmp_path / "file/state")
