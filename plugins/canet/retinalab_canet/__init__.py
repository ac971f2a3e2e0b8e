"""CANet: cross-disease attention network for joint grading of diabetic retinopathy and macular edema.

The network alone: ``from retinalab_canet.network import CANet``. Nothing is imported here, so that the
command line lists the paper without torch.
"""

__all__: list[str] = []
