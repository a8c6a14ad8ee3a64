"""A quantised network as an ONNX file, with its codes and their scales made explicit."""

from __future__ import annotations

import copy
import importlib
import json
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from cpt.model.export.double_sums import DoubleSums
from cpt.model.export.nodes import OPSET
from cpt.model.export.precision import ExportedPrecision
from cpt.model.files import check_writable, write_atomically
from cpt.model.layer_precisions import precisions, set_precision
from cpt.model.layers import LayerPrecision, Quantised
from cpt.model.schedule import check_bits

PACKAGES = ("onnx", "onnxscript")
"""What torch writes ONNX with."""
LAYERS = "cpt_layers"
"""Key of the file's metadata under which each layer's bits and configuration are, as JSON."""


def to_onnx(
    model: nn.Module,
    example: Tensor | Sequence[Tensor],
    path: Path | str,
    bits: int | None = None,
    double_sums: bool = False,
) -> dict[str, int]:
    """Write ``model`` as it evaluates at ``bits`` of weights and activations to ``path``; the bits by layer.

    ``example``: an input, or one for each parameter of ``forward``. The size of its first axis stays free in
    the file if it is above 1 and the model takes others. ``bits``: of every quantised layer; 0 is full
    precision, None those in force, learned ones included. ``double_sums``: compute what `DoubleSums` does in
    float64, for outputs that are the model's under ``DoubleSums()`` to the bit; convolutions are then
    written as products. The model stays as it is.

    Raises `ValueError` in one line, naming the layer that cannot be exported, `ModuleNotFoundError` without
    the extra ``onnx``, and `OSError` naming ``path`` if it cannot be written.
    """
    for package in PACKAGES:
        importlib.import_module(package)
    path = Path(path)
    check_writable(path)
    inputs = (example,) if isinstance(example, Tensor) else tuple(example)
    inputs = tuple(item.detach().cpu() for item in inputs)
    model = _stand_in(model, bits)
    items = {name: item for name, item in precisions(model).items() if isinstance(item, ExportedPrecision)}
    with torch.no_grad():
        with _named(model):
            outputs = model(*inputs)
        for item in items.values():
            item.recording = False
        program = _traced(model, inputs, double_sums)
        _write(program, path, _names(outputs), items)
    return {name: item.bits for name, item in items.items()}


def _stand_in(model: nn.Module, bits: int | None) -> nn.Module:
    """A copy of ``model`` in evaluation, on the processor, with `ExportedPrecision` in every layer."""
    if not precisions(model):
        raise ValueError("model has 0 quantised layers; allowed: one that quantize_ made")
    model = copy.deepcopy(model).cpu().eval()
    if bits is not None:
        set_precision(model, fw=check_bits("bits", bits, full_precision=True))
    for name, module in list(model.named_modules()):
        if isinstance(module, Quantised) and not isinstance(module, LayerPrecision):
            raise ValueError(
                f"module {name!r} is a {type(module).__name__} of quantiser {module.config.plug}; "
                "allowed: layers, and modules that no quantiser replaces"
            )
    for name, item in precisions(model).items():
        place = next(key for key, module in model.named_modules() if module is item)
        parent, _, attribute = place.rpartition(".")
        new = ExportedPrecision.of(item, name or type(model).__name__)
        model.get_submodule(parent).add_module(attribute, new)
    return model


def _traced(model: nn.Module, inputs: tuple[Tensor, ...], double_sums: bool) -> ExportedProgram:
    """The operations that ``model`` is made of."""
    free = tuple({0: Dim.AUTO} if item.dim() else None for item in inputs)
    with _quiet(), _named(model), DoubleSums(as_products=True) if double_sums else nullcontext():
        return torch.export.export(model, inputs, dynamic_shapes=free, strict=False)


def _write(
    program: ExportedProgram, path: Path, outputs: Sequence[str], items: dict[str, ExportedPrecision]
) -> None:
    """Write the operations as ONNX, with each layer's configuration."""
    with _quiet():
        try:
            written = torch.onnx.export(
                program, opset_version=OPSET, output_names=outputs, dynamo=True, verbose=False
            )
        except torch.onnx.OnnxExporterError as error:
            raise ValueError(_unknown(program, error)) from error
    assert written is not None
    proto = written.model_proto
    graph = proto.graph
    # what torch notes of its own, lines of source and the machine's paths among it
    for part in (proto, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    layers = {name: {"bits": item.bits, **item.config.as_dict()} for name, item in items.items()}
    entry = proto.metadata_props.add()
    entry.key, entry.value = LAYERS, json.dumps(layers, sort_keys=True)
    write_atomically(path, proto.SerializeToString())


def _names(outputs: Any) -> list[str]:
    """A name for each tensor that the model gives."""
    count = sum(1 for _ in _tensors(outputs))
    return ["output"] if count == 1 else [f"output_{number}" for number in range(count)]


def _tensors(item: Any) -> Iterator[Tensor]:
    if isinstance(item, Tensor):
        yield item
    elif isinstance(item, (tuple, list, dict)):
        for part in item.values() if isinstance(item, dict) else item:
            yield from _tensors(part)


@contextmanager
def _named(model: nn.Module) -> Iterator[None]:
    """What fails in a module is one line that names it."""
    names = {module: name for name, module in model.named_modules()}
    inside: list[nn.Module] = []

    def enter(module: nn.Module, _: Any) -> None:
        inside.append(module)

    def leave(module: nn.Module, _: Any, __: Any) -> None:
        inside.pop()

    handles = [module.register_forward_pre_hook(enter) for module in names]
    handles += [module.register_forward_hook(leave) for module in names]
    try:
        yield
    except ValueError:
        raise
    except Exception as error:
        module = inside[-1] if inside else model
        where = f"module {names[module]!r} ({type(module).__name__})" if names[module] else "the model itself"
        raise ValueError(f"{where} cannot be exported: {_first_line(error)}") from error
    finally:
        for handle in handles:
            handle.remove()


def _unknown(program: ExportedProgram, error: Exception) -> str:
    """One line for what torch could not write: the operation, and the module that it is in."""
    causes = [error]
    while isinstance(cause := causes[-1].__cause__, Exception):
        causes.append(cause)
    text = " ".join(map(str, causes))
    for node in program.run_decompositions().graph.nodes:
        if node.op == "call_function" and str(node.target) in text:
            stack = [name for name, _ in (node.meta.get("nn_module_stack") or {}).values()]
            where = f"module {stack[-1]!r}" if stack and stack[-1] else "the model itself"
            return f"{where} computes {node.target}, which torch has no ONNX for; allowed: other operations"
    return f"the model cannot be written as ONNX: {_first_line(causes[-1])}"


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in re.sub(r"\x1b\[\d*m", "", str(error)).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """What torch says of itself is not the user's to mend."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logger.setLevel(before)
