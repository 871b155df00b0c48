"""No part of a password is ever said, however it is written into a URL."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker import cli
from worker.telemetry.secrets import mask_secrets

URLS = [
    ("ICR_BROKER_URL", f"redis://{user}:{password}@127.0.0.1:1/0")
    for user in ("", "icr")
    for password in ("Qx/Zy", "Qx@Zy", "Qx?Zy", "Qx#Zy", "Qx:Zy", "Qx Zy", "Qx%2FZy", "12/Zy", "Qx%Zy", "[QxZy")
]
URLS += [(name.replace("BROKER", "DATABASE"), url.replace("redis", "postgresql")) for name, url in URLS]
URLS += [
    ("ICR_DATABASE_URL", "postgresql://icr@127.0.0.1:1/icr?password=Qx@Zy/1"),
    ("ICR_DATABASE_URL", "postgresql://icr:QxZy@127.0.0.1:port/icr"),
    ("ICR_BROKER_URL", "redis://:QxZy@127.0.0.1:port/0"),
    ("ICR_BROKER_URL", "Qx://Zy@"),
    ("ICR_DATABASE_URL", "QxZy"),
]


@pytest.mark.parametrize(("name", "url"), URLS)
def test_no_part_of_a_password_is_said(
    name: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "_save_time", lambda: None)
    for known in [known for known in os.environ if known.startswith("ICR_")]:
        monkeypatch.delenv(known)
    monkeypatch.setenv("ICR_HOME", str(tmp_path))
    monkeypatch.setenv(name, url)
    for command in (["health"], ["health", "--ready"], ["doctor"], ["status"], ["results"], ["submit", "a.png"]):
        with pytest.raises(SystemExit) as end:
            cli.main(command)
        said = "".join(capsys.readouterr())
        assert end.value.code == 1 and "Traceback" not in said
        assert "Qx" not in said and "Zy" not in said, (command, said)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("redis://:a/b@c@h:1/0 is away", "redis://:***@h:1/0 is away"),
        ("at postgresql+psycopg://u:p@h/d?password=x&y=1", "at postgresql+psycopg://u:***@h/d?password=***&y=1"),
        ("s3://bucket/key is away", "s3://bucket/key is away"),
        ("worker@host is silent", "worker@host is silent"),
        ("http://host:8080/path", "http://host:8080/path"),
    ],
)
def test_passwords_in_urls_are_masked(text: str, masked: str) -> None:
    assert mask_secrets(text) == masked
