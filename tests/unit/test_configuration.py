"""The page of settings says what the settings are."""

from __future__ import annotations

from pathlib import Path

from worker.commands.settings_page import describe_settings
from worker.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "configuration.md"


def test_the_page_is_written_from_the_settings() -> None:
    assert PAGE.read_text() == describe_settings(), "settings have changed: run 'make docs'"


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, f"{name} has no description"
        assert f"`ICR_{name.upper()}`" in describe_settings()
