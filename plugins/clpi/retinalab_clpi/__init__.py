"""CLPI: robust collaborative learning of patch-level and image-level annotations for grading diabetic retinopathy.

The network alone: ``from retinalab_clpi.network import CLPI``. Nothing is imported here, so that the command line lists
the paper without torch.
"""

__all__: list[str] = []
