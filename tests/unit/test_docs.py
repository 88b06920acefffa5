"""The documentation names what exists, and nothing that does not."""

from __future__ import annotations

import re
from pathlib import Path

from contracts.settings import Settings

ROOT = Path(__file__).parents[2]


def test_every_setting_is_documented_and_every_documented_setting_exists() -> None:
    documented = set(re.findall(r"`RD360_([A-Z0-9_]+)`", (ROOT / "docs/settings.md").read_text(encoding="utf-8")))

    assert documented == {name.upper() for name in Settings.model_fields}


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)} -> {target}"
        for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]

    assert broken == []


def test_the_readme_has_the_catalogue_as_it_is() -> None:
    from featurestore.catalogue import overview

    assert overview() in (ROOT / "README.md").read_text(encoding="utf-8")
