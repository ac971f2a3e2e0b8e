"""A finished run's networks as one file that other programs run: ONNX, or a program of torch.export."""
