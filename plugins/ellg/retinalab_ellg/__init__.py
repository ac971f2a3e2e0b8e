"""ELLG: explainable lesion learning and generation for diabetic retinopathy detection.

The network alone: ``from retinalab_ellg.network import DetectionNetwork``. Nothing is imported here, so that the
command line lists the paper without torch.
"""

__all__: list[str] = []
