"""SiAN and L-Net: segmentation of retinal lesions, and grading of diabetic retinopathy with their maps.

The networks alone: ``from retinalab_sian.lnet import LNet`` and ``from retinalab_sian.network import SiAN``. Nothing is
imported here, so that the command line lists the paper without torch.
"""

__all__: list[str] = []
