"""Settings: their order, their errors, and that secrets stay secret."""

from pathlib import Path

import pytest

from fastdata.errors import SettingsError, mask_url
from fastdata.settings import Settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("BROKER", "STORE", "ARCHIVE"):
        monkeypatch.delenv(f"FASTDATA_{name}", raising=False)
    return tmp_path


def test_the_environment_goes_before_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "fastdata.toml").write_text('broker = "file:1"\nstore = "memory:"\n')
    monkeypatch.setenv("FASTDATA_BROKER", "environment:1")
    settings = Settings.load()

    assert (settings.broker, settings.store) == ("environment:1", "memory:")


def test_an_argument_goes_before_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTDATA_BROKER", "environment:1")

    assert Settings.load(broker="argument:1").broker == "argument:1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'brokr = "a:1"',
            "brokr: there is no such setting; did you mean 'broker'? All are in docs/settings.md",
        ),
        ("commit_interval_s = 0", "commit_interval_s: Input should be greater than 0"),
        ('application_id = "a b"', "application_id: String should match pattern"),
        ("broker = ", "fastdata.toml cannot be read"),
    ],
)
def test_a_wrong_setting_is_told(folder: Path, text: str, message: str) -> None:
    (folder / "fastdata.toml").write_text(text)

    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert message in str(caught.value)


def test_no_secret_is_shown(folder: Path) -> None:
    settings = Settings.load(
        store="postgresql://me:canary@host/db?password=canary",
        archive="s3://bucket?secret_access_key=canary&region=x",
    )
    with pytest.raises(SettingsError) as caught:
        Settings.load(store="x://me:canary@host", commit_interval_s="canary")

    shown = f"{settings!r} {settings} {settings.shown()} {caught.value}"
    assert "canary" not in shown


def test_a_masked_url_keeps_what_helps() -> None:
    assert mask_url("postgresql://me:pw@host:5432/db") == "postgresql://***@host:5432/db"
    assert mask_url("as in http://user:password@host") == "as in http://user:password@host"
    assert mask_url("https://host:80/a and b@c") == "https://host:80/a and b@c"


@pytest.mark.parametrize("password", ["can@ary", "can/ary", "can/a@ry", "can:a/ry", "can?ary#"])
def test_a_password_that_is_not_escaped_is_masked(password: str) -> None:
    shown = "x https://***@host:8081/a; y"

    assert mask_url(f"x https://me:{password}@host:8081/a; y") == shown


SASL = {"broker_security_protocol": "SASL_SSL", "broker_username": "me"}


def test_the_password_of_the_broker_is_not_shown() -> None:
    settings = Settings.load(**SASL, broker_password="canary")

    shown = f"{settings!r} {settings} {settings.shown()} {settings.model_dump_json()}"
    assert settings.broker_password.get_secret_value() == "canary"
    assert "canary" not in shown


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (SASL, "broker_password: missing, broker_security_protocol is SASL_SSL"),
        ({"broker_security_protocol": "TLS"}, "broker_security_protocol: Input should be 'PLAIN"),
        ({**SASL, "broker_sasl_mechanism": "SCRAM"}, "broker_sasl_mechanism: Input should be"),
        ({"broker_password": "canary"}, "broker_password: not used while broker_security_protocol"),
        ({"broker_ca": "here.pem"}, "broker_ca: not used while broker_security_protocol is PLAIN"),
        ({"broker_ca": "nowhere.pem"}, "broker_ca: there is no file"),
        (
            {"broker_security_protocol": "SSL", "broker_key": "here.pem"},
            "broker_certificate and broker_key are a pair",
        ),
    ],
)
def test_settings_that_do_not_fit_together_are_told(
    folder: Path, wrong: dict[str, str], message: str
) -> None:
    (folder / "here.pem").touch()

    with pytest.raises(SettingsError) as caught:
        Settings.load(**wrong)
    assert message in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("FASTDATA_BROKR", "no setting FASTDATA_BROKR; did you mean 'FASTDATA_BROKER'?"),
        ("FASTDATA_DATABASE_URL", "no setting FASTDATA_DATABASE_URL; all are in docs/settings.md"),
    ],
)
def test_a_variable_that_is_no_setting_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, message: str
) -> None:
    monkeypatch.setenv(variable, "canary")

    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert message in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "variable",
    ["FASTDATA_DEBUG", "FASTDATA_TEST_SEED", "FASTDATA_SERVICE_HOST", "FASTDATA_PORT_80_TCP"],
)
def test_a_variable_that_somebody_else_reads_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")

    assert Settings.load().broker == "localhost:9092"
