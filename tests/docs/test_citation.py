"""CITATION.cff says what the package says: name, version, licence, and the paper of every plugin."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import retinalab
from retinalab.registry import Paper, installed_papers

REPOSITORY = Path(__file__).resolve().parents[2]
PLUGINS = sorted(path.parent.name for path in REPOSITORY.glob("plugins/*/pyproject.toml"))


@pytest.fixture(scope="module")
def citation() -> dict[str, Any]:
    """The file's content."""
    found: dict[str, Any] = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    return found


def test_what_the_format_asks_for_is_there(citation: dict[str, Any]) -> None:
    """Version 1.2.0 of the Citation File Format requires these four, and of a reference type, title and authors."""
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"]
    assert citation["type"] == "software"
    assert all(author.get("name") or author.get("family-names") for author in citation["authors"])
    for one in citation["references"]:
        assert one["type"] in ("article", "conference-paper")
        assert one["title"]
        assert all(set(author) == {"family-names", "given-names"} for author in one["authors"])


def test_version_and_licence_are_those_of_the_package(citation: dict[str, Any]) -> None:
    described = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["version"] == described["version"] == retinalab.__version__
    assert citation["license"] == described["license"]
    assert citation["title"].startswith(f"{described['name']}:")


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugins_paper_is_among_the_references(plugin: str, citation: dict[str, Any]) -> None:
    paper = installed_papers()[plugin]
    assert isinstance(paper, Paper)
    (reference,) = (one for one in citation["references"] if one["title"] == paper.title)
    assert reference.get("url", "") == paper.url
    for author in reference["authors"]:
        assert f"{author['given-names']} {author['family-names']}" in paper.citation
    years = re.findall(r"\b(?:19|20)\d\d\b", paper.citation)
    assert years == ([str(reference["year"])] if "year" in reference else [])
