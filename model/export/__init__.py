"""Trained networks as files for other runtimes."""

from cpt.model.export.double_sums import DoubleSums
from cpt.model.export.network import to_onnx

__all__ = ["DoubleSums", "to_onnx"]
