"""One run folder for all processes of a run, which must see the same photographs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pandas as pd

from retinalab.config import Experiment
from retinalab.data.parts import Parts
from retinalab.errors import RetinalabError
from retinalab.runner.folder import RunFolder, claim
from retinalab.runner.jobs import Job
from retinalab.runner.processes import agreed, share

__all__ = ["check_alike", "claim_together"]


@contextmanager
def claim_together(
    experiment: Experiment,
    data: Mapping[str, Mapping[str, str]],
    only: Sequence[Job],
    gather: bool,
) -> Iterator[RunFolder]:
    """As :func:`~retinalab.runner.folder.claim`; of processes that have met, the first claims the folder for all.

    Raises:
        RetinalabError: on every process what :func:`~retinalab.runner.folder.claim` raises on the first.
    """
    first = share()[0] == 0
    with ExitStack() as held:

        def claimed() -> RunFolder | None:
            taken = claim(experiment, data, only, gather)
            return held.enter_context(taken) if first else None

        folder = agreed(claimed)[0]
        assert folder is not None  # the first process gives one, or raises
        yield folder if first else replace(folder, first=False)


def check_alike(parts: Mapping[str, Parts]) -> None:
    """Refuse processes of one run that see different photographs, labels or splits.

    Raises:
        RetinalabError: they do, with the first stage and process.
    """
    seen = agreed(lambda: {name: _digest(found) for name, found in parts.items()})
    for rank, theirs in enumerate(seen):
        for name, digest in seen[0].items():
            if theirs[name] != digest:
                fault = RetinalabError(
                    f"Process {rank} sees other photographs, labels or parts in stage {name!r} than process 0. Give "
                    "every machine the same files and the same version of retinalab."
                )
                fault.told = share()[0] != 0
                raise fault


def _digest(parts: Parts) -> str:
    digest = hashlib.sha256(repr(dict(parts.fingerprints)).encode())
    for part in (parts.train, parts.val, *parts.tests.values()):
        rows = pd.util.hash_pandas_object(part.records.table[["set", "image"]], index=False)
        digest.update(rows.to_numpy().tobytes())
    return digest.hexdigest()
