"""Secrets taken out of texts that are kept: commands, folders, configurations."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["redacted", "redacted_values"]

_HIDDEN = "***"
_NAMED = (
    r"(?:(?:api|access|private)[_-]?key|token|secret(?:[_-]?key)?|password|passwd|credentials?|authorization)"
)
_ENVIRONMENT = re.compile(rf"{_NAMED}|_KEY$|_PAT$", re.IGNORECASE)
_URL = re.compile(r"(?<=://)[^/\s@]+(?=@)|(?<=:/)[^/\s@:]+:[^/\s@]+(?=@)")  # a path keeps one slash of two
_QUERY = re.compile(rf"([?&;][\w.-]*(?:{_NAMED}|sig|signature)=)[^&;\s'\"]+", re.IGNORECASE)
_ASSIGNED = re.compile(rf"(?<![A-Za-z])([\w.-]*{_NAMED}\s*[=:]\s*)[^\s&;'\"]+", re.IGNORECASE)
_OPTION = re.compile(rf"((?<!\S)--?[\w.-]*{_NAMED}\s+)(?!-)\S+", re.IGNORECASE)
_KEYS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|AKIA[A-Z0-9]{12,}|wandb_v1_[A-Za-z0-9_-]{20,})"
)
_SHORTEST = 8


def redacted(text: str, environment: Mapping[str, str] | None = None) -> str:
    """A text without passwords of URLs, values of options that are named like secrets, and secrets of the environment.

    Args:
        text: such as a command.
        environment: variables whose values are secrets where their names say so; those of this process by default.

    Example:
        >>> redacted("retinalab exp a data.root=https://me:pass@host/x --api-key abc", {})
        'retinalab exp a data.root=https://***@host/x --api-key ***'
    """
    for name, value in (os.environ if environment is None else environment).items():
        if len(value) >= _SHORTEST and _ENVIRONMENT.search(name):
            text = text.replace(value, _HIDDEN)
    text = _URL.sub(_HIDDEN, text)
    text = _QUERY.sub(rf"\1{_HIDDEN}", text)
    text = _KEYS.sub(_HIDDEN, text)
    text = _OPTION.sub(rf"\1{_HIDDEN}", text)
    return _ASSIGNED.sub(rf"\1{_HIDDEN}", text)


def redacted_values(value: Any) -> Any:
    """The same of every text within mappings and lists, such as a configuration."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {key: redacted_values(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [redacted_values(one) for one in value]
    return value
