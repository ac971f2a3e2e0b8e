"""What explanations ask of a task: the layers and maps that its network has, and the score that a map explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightning import LightningModule
from torch import Tensor, nn

from retinalab.errors import RetinalabError, unknown
from retinalab.protocol import Scale
from retinalab.records import LESIONS
from retinalab.tasks.cam import CamLayers

__all__ = ["Explainable"]


class Explainable(LightningModule):
    """A task as saliency maps see it; whatever its network does not have is refused in one line.

    Attributes:
        config: the task's options.
        scales: disease -> its grade scale.
    """

    config: Any
    scales: dict[str, Scale]

    def cam_layers(self, disease: str) -> CamLayers:
        """What a plain class activation map of a disease is made of, where the network has one.

        Raises:
            RetinalabError: it has none.
        """
        raise RetinalabError(
            f"Task {self.config.name!r} has no plain class activation map: its network does not end in global average "
            f"pooling and one linear layer for {disease}. Leave out --cam."
        )

    def feature_maps(self) -> dict[str, nn.Module]:
        """The layers that a saliency map may be of, from low to high: name -> module that gives ``(B, C, h, w)``.

        Raises:
            RetinalabError: the network has none that its grades are read from.
        """
        raise RetinalabError(
            f"Task {self.config.name!r} names no feature maps that its grades are read from, so that it has no "
            "saliency map by layers. Explain a task that grades photographs, such as baseline."
        )

    def attention_map(self, images: Tensor, disease: str) -> Tensor:
        """How much the network weighs each place on its way to the grade of a disease, where it does so of its own.

        Args:
            images: normalised, as the task takes them.
            disease: of the task's scales.

        Shape:
            - ``images``: ``(B, 3, H, W)``. Returns: ``(B, 1, h, w)``, at least 0, computed from ``images``.

        Raises:
            RetinalabError: its network has no attention.
        """
        raise RetinalabError(
            f"Task {self.config.name!r} has no attention map: its network weighs no places on its way to {disease}. "
            "Leave attention out of --methods."
        )

    def lesion_map(self, images: Tensor, taught: Sequence[str] = LESIONS) -> Tensor:
        """The probability of a lesion at each place, of whichever is surest there.

        Args:
            images: normalised, as the task takes them.
            taught: the lesions that the network has learned.

        Shape:
            - ``images``: ``(B, 3, H, W)``. Returns: ``(B, 1, h, w)`` in [0, 1], computed from ``images``.

        Raises:
            RetinalabError: its network maps no lesions.
        """
        raise RetinalabError(
            f"Task {self.config.name!r} has no lesion map: its network does not say where lesions are. Leave lesions "
            "out of --methods."
        )

    def logits(self, given: Any) -> Mapping[str, Tensor]:
        """The answer before any softmax, out of what :meth:`forward` gave: disease -> ``(B, K)``; (B, 1) of a severity.

        A task whose network gives more than this mapping overrides it.
        """
        answer: Mapping[str, Tensor] = given
        return answer

    def score(self, given: Any, disease: str, grades: Tensor | None = None) -> Tensor:
        """What a saliency map explains: the logit of one grade of each photograph, or its severity.

        Args:
            given: what :meth:`forward` gave of the photographs.
            disease: of the task's scales.
            grades: the grade that is explained; the predicted one where None. A severity has no choice of grades.

        Shape:
            - ``grades``: ``(B,)`` int64. Returns: ``(B,)``, differentiable.

        Raises:
            RetinalabError: unknown disease, or grades that the scale does not have.
        """
        if disease not in self.scales:
            raise unknown("disease", disease, self.scales)
        logits = self.logits(given)[disease]
        if logits.shape[1] == 1:
            return logits[:, 0]
        wanted = logits.argmax(1) if grades is None else grades.to(logits.device)
        if wanted.shape != logits.shape[:1] or bool(((wanted < 0) | (wanted >= logits.shape[1])).any()):
            raise RetinalabError(
                f"Grades {wanted.tolist()} of {disease!r} cannot be explained for {logits.shape[0]} photographs. Give "
                f"one grade of 0-{logits.shape[1] - 1} for each, or none for the predicted ones."
            )
        return logits.gather(1, wanted[:, None])[:, 0]
