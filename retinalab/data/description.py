"""What is written of each shard beside its photographs, closed by a checksum of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retinalab.data.files import folder_there
from retinalab.data.shards import checksum
from retinalab.errors import RetinalabError

__all__ = ["closed", "read_description"]

_SUM = re.compile(rb'(?P<before>.*), "sum": (?P<sum>\d{1,10})}', re.DOTALL)
_KNOWN = frozenset({"image", "box", "reason", "likeness"})


def closed(description: Mapping[str, Any]) -> bytes:
    """A description as it is written.

    Example:
        >>> closed({"photographs": []})
        b'{"photographs": [], "sum": 414236237}'
    """
    content = json.dumps(description).encode()
    return b'%b, "sum": %d}' % (content[:-1], checksum(content))


def read_description(path: Path) -> dict[str, Any]:
    """Description of a shard: as it was written; as many ends and sums as photographs, the ends in order.

    One without a checksum is of a version that wrote none.

    Raises:
        RetinalabError: it is damaged, or a folder.
    """
    try:
        content = path.read_bytes()
        found: dict[str, Any] = json.loads(content)
        written = _SUM.fullmatch(content)
        if (written is None) == ("sum" in found):
            raise ValueError("its checksum is not the last that it says")
        if written is not None and checksum(written["before"] + b"}") != int(written["sum"]):
            raise ValueError("its checksum is another one")
        count = len(found["photographs"])
        if not all(entry.keys() >= _KNOWN for entry in found["photographs"]):
            raise ValueError("it leaves out what is to be known of a photograph")
        for one in found.get("files", {}).values():
            ends = [0, *one["ends"]]
            if {len(one["ends"]), len(one["sums"])} != {count} or ends != sorted(ends):
                raise ValueError("its index does not fit")
    except IsADirectoryError as error:
        raise folder_there(path) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RetinalabError(f"{path} is damaged. Remove it and try again.") from error
    return found
