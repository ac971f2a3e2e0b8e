"""Where prepared photographs lie unless the user names another folder."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["default_cache"]


def default_cache() -> Path:
    """The user's cache folder: ``$XDG_CACHE_HOME/retinalab``, else ``~/.cache/retinalab``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "retinalab"
