"""CANet: cross-disease attention network for joint grading of diabetic retinopathy and macular edema."""

__all__: list[str] = []
