"""A maker: training photographs upside down, graded as the network graded them; every seventh shows nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd

from retinalab.tasks import Task
from retinalab.tasks.maker import Made, Maker, Originals, Plan, Strip
from retinalab_madeup.config import MirrorConfig

__all__ = ["MirrorMaker"]


class MirrorMaker(Maker):
    """Turns the first photographs, one after the other."""

    config_class = MirrorConfig

    def plan(self, seen: pd.DataFrame) -> Plan:
        """As many as the options ask for, round and round."""
        numbers = np.arange(self.config.count)
        if not len(numbers):
            return Plan(pd.DataFrame(), ("Nothing was asked for.",))
        rows = pd.DataFrame({"number": numbers, "target": numbers % len(seen)})
        graded = seen[[f"{disease}_grade" for disease in self.scales]].iloc[rows["target"]]
        return Plan(rows.join(graded.reset_index(drop=True)))

    def make(self, task: Task, originals: Originals, rows: pd.DataFrame) -> Made:
        """Upside down."""
        targets = rows["target"].to_numpy()
        images = originals.images(targets)[:, ::-1]
        table = pd.DataFrame({disease: rows[f"{disease}_grade"].to_numpy() for disease in self.scales})
        table = table.assign(target=targets, left_out=rows["number"].to_numpy() % 7 == 6)
        strips = tuple(
            Strip(int(number), (("before", images[k][::-1]), ("after", images[k])))
            for k, (number, shown) in enumerate(zip(rows["number"], rows["shown"], strict=True))
            if shown
        )
        return Made(images, table, np.ones(images.shape[:3], bool), strips)
