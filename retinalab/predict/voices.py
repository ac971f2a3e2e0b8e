"""The networks of runs and exported files, loaded."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from retinalab.predict.exported import ExportedFile
from retinalab.predict.finished import FinishedRun, Member
from retinalab.predict.network import Network
from retinalab.predict.opened import Opened
from retinalab.predict.prepare import Batches
from retinalab.predict.voice import Voice

__all__ = ["voices_of"]


def voices_of(opened: Sequence[Opened], device: torch.device) -> list[list[Voice]]:
    """Load the networks of each; those that take photographs prepared alike share the preparation.

    Raises:
        RetinalabError: a checkpoint that cannot be loaded.
    """
    shared: dict[tuple[str, str, str], Batches] = {}

    def voice(run: FinishedRun, member: Member) -> Network:
        protocol, stage = run.experiment.protocol, run.experiment.stages[member.stage]
        key = (stage.data.model_dump_json(), protocol.model_dump_json(), repr(stage.diseases))
        if key not in shared:
            shared[key] = Batches(stage, protocol, device)
        return Network(run, member, shared[key])

    return [
        [one.voice()] if isinstance(one, ExportedFile) else [voice(one, member) for member in one.members]
        for one in opened
    ]
