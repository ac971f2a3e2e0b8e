"""Secrets leave no trace in what is kept; everything else stays as it was written."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from retinalab.cli import main
from retinalab.experiment import load_experiment
from retinalab.redacted import redacted, redacted_values
from retinalab.runner import wandb as logger
from retinalab.runner.provenance import made_by


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("data.root=https://me:hunter2@host/x", "data.root=https://***@host/x"),
        ("s3://ghp_aaaaaaaaaaaaaaaaaaaaaaaa@host", "s3://***@host"),
        ("--api-key abcdef x", "--api-key *** x"),
        ("--password=hunter2 x", "--password=*** x"),
        ("WANDB_API_KEY=0123456789abcdef retinalab", "WANDB_API_KEY=*** retinalab"),
        (
            "https://host/a?sig=abc&part=2&X-Amz-Signature=q",
            "https://host/a?sig=***&part=2&X-Amz-Signature=***",
        ),
        ("weights=hf_abcdefghijklmnopqrstuvwx", "weights=***"),
        ("AKIAIOSFODNN7EXAMPLE", "***"),
        ("client_secret: abc", "client_secret: ***"),
    ],
)
def test_secrets_are_hidden(text: str, kept: str) -> None:
    assert redacted(text, {}) == kept
    assert redacted(kept, {}) == kept


@pytest.mark.parametrize(
    "text",
    [
        "retinalab exp clpi messidor train.task.token_dropout=0.1 train.task.tokens=4 seeds=3",
        "data.root=../secretary/photographs tokenizer=x --set idrid",
        "https://host/path?part=2 mail@example.org",
        "the token is gone: set monitor=val/dr/kappa",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text, {}) == text


def test_secrets_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a-very-long-value")
    monkeypatch.setenv("HOSPITAL_PASSWORD", "another-long-value")
    monkeypatch.setenv("LAB_NAME", "ophthalmology")
    assert redacted("x=a-very-long-value another-long-value ophthalmology") == "x=*** *** ophthalmology"
    nested = {"a": ["a-very-long-value", 1, None], "b": {"c": ("x",)}}
    assert redacted_values(nested) == {"a": ["***", 1, None], "b": {"c": ["x"]}}


def test_a_run_keeps_no_secret(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a-very-long-value")
    words = [
        "retinalab",
        "exp",
        "x",
        "data.root=https://me:hunter2@host/x",
        "a=a-very-long-value",
        "--token",
        "b c",
    ]
    monkeypatch.setattr("sys.argv", words)
    kept = json.dumps(made_by())
    assert not [secret for secret in ("hunter2", "a-very-long-value") if secret in kept]
    assert made_by()["command"] == "retinalab exp x data.root=https://***@host/x a=*** --token *** c"
    with caplog.at_level(logging.DEBUG):
        assert main(["data", "index", "table", "--root", "https://me:hunter2@host/x"]) == 2
    assert "hunter2" not in capsys.readouterr().err + caplog.text


def test_wandb_is_given_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_API_KEY", "a-very-long-value")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr("sys.argv", ["retinalab", "--token", "hunter2"])
    given: dict[str, object] = {}
    monkeypatch.setattr(wandb, "init", lambda **words: given.update(words))
    monkeypatch.setattr(wandb, "finish", lambda **_: None)
    root = "data.root=https://me:hunter2@host/a-very-long-value"
    with logger.wandb_run(load_experiment("baseline", "synthetic", [root]), tmp_path):
        pass
    assert "https:/***@host/***" in str(given["config"])
    assert not [secret for secret in ("hunter2", "a-very-long-value") if secret in str(given["config"])]
    assert given["settings"].x_disable_meta  # type: ignore[attr-defined]
