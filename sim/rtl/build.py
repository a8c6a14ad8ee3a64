"""Export the accelerator's Verilog and compile it with the C++ harness into a shared library."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.step import MARK_BITS, Engine
from cpt.sim.memory import CHANNELS, MATRIX_CHANNELS
from cpt.sim.tool import run_tool
from cpt.sim.verilator import (
    cached_build,
    exported,
    sources_key,
    verilator_environment,
    verilator_root,
)

HERE = Path(__file__).resolve().parent
TOP = "cpt_accelerator"
LIBRARY = "libcpt.so"
VERILATE_DEADLINE_S = 600.0
COMPILE_DEADLINE_S = 900.0
# Yosys netlists run several times faster without Verilator's dataflow pass; the rest is two-state speed.
VERILATOR_FLAGS = [
    "--cc",
    *("--prefix", "Vcpt"),
    "-O3",
    "-fno-dfg",
    *("--x-assign", "fast"),
    *("--x-initial", "fast"),
    "--no-assert",
    "--no-timing",
    *("--output-split", "20000"),
    "-Wno-fatal",
    "-Wno-lint",
    "-Wno-style",
]
# Several such libraries live in one process, so none may share its symbols.
CXX_FLAGS = ["-std=c++17", "-fPIC", "-fno-plt", "-fno-gnu-unique", "-w"]


@dataclass(frozen=True)
class CompileOptions:
    """What differs between designs."""

    level: str = "-O3"
    """Optimisation of g++."""
    readable: str = ""
    """Verilator's configuration: signals that the harness reads."""
    defines: tuple[str, ...] = (f"-DCPT_CHANNELS={MATRIX_CHANNELS}",)


def _step_options() -> CompileOptions:
    """Of the machine that does whole steps: queues and marks of its engines are read."""
    names = {engine: engine.name.lower() for engine in Engine}
    signals: dict[str, tuple[str, ...]] = {"": ("marks",), ".runner": ("runs",)}
    signals |= {f".runner.queue_{name}": ("push", "pop") for name in names.values()}
    lines = [
        f'public_flat_rd -module "{TOP}{module}" -var "{name}"'
        for module, members in signals.items()
        for name in members
    ]
    engines = " ".join(f"X({engine:d}, {name});" for engine, name in names.items())
    defines = (
        f"-DCPT_CHANNELS={CHANNELS}",
        f"-DCPT_ENGINES(X)={engines}",
        f"-DCPT_MARK_BITS={MARK_BITS}",
    )
    # Several times as much text as the other, and runs that take seconds.
    return CompileOptions("-O1", "\n".join(["`verilator_config", *lines, ""]), defines)


STEP_OPTIONS = _step_options()


def build_library(config: ArrayConfig) -> Path:
    """Path of the shared library that simulates ``config``, built if its Verilog has changed.

    Raises `cpt.sim.tool.BuildError` with the tool's output if a step fails.
    """
    name, options = config.name, CompileOptions()
    if config.scratch_words:
        name, options = f"{name}-step-{config.scratch_words}", STEP_OPTIONS
    verilog = exported(f"verilog/{name}", config, _export)
    key = sources_key([*verilog, *HERE.glob("*.?pp"), Path(__file__)], [*CXX_FLAGS, options])
    return (
        cached_build(f"rtl/{name}", key, lambda folder: compile_verilog(verilog, folder, options)) / LIBRARY
    )


def _export(config: ArrayConfig, folder: Path) -> None:
    from cpt.hw.export import export

    export(config, folder)


def _level(source: Path, most: str) -> list[str]:
    """Optimisation of one file: what runs once (``__Slow``) or rarely (the runtime) gets little."""
    if source.stem.endswith("__Slow"):
        return ["-O0"]
    return ["-O1"] if source.stem.startswith("verilated") else [most]


def compile_verilog(verilog: list[Path], folder: Path, options: CompileOptions | None = None) -> None:
    """Turn the files that hold module ``cpt_accelerator`` into ``folder/libcpt.so``."""
    options = options or CompileOptions()
    generated, inputs = folder / "generated", [str(path) for path in verilog]
    if options.readable:
        (folder / "readable.vlt").write_text(options.readable)
        inputs.append(str(folder / "readable.vlt"))
    run_tool(
        ["verilator", *VERILATOR_FLAGS, "--top-module", TOP, "--Mdir", str(generated), *inputs],
        folder,
        VERILATE_DEADLINE_S,
        verilator_environment(),
    )
    include = verilator_root() / "include"
    sources = [
        *sorted(generated.glob("*.cpp")),
        include / "verilated.cpp",
        include / "verilated_threads.cpp",
        HERE / "harness.cpp",
    ]
    flags = [
        *CXX_FLAGS,
        *options.defines,
        f"-I{generated}",
        f"-I{HERE}",
        f"-I{include}",
        f"-I{include / 'vltstd'}",
    ]
    objects = [generated / f"{index}-{source.stem}.o" for index, source in enumerate(sources)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        jobs = [
            pool.submit(
                run_tool,
                ["g++", *flags, *_level(source, options.level), "-c", str(source), "-o", str(target)],
                folder,
                COMPILE_DEADLINE_S,
            )
            for source, target in zip(sources, objects, strict=True)
        ]
        for job in jobs:
            job.result()
    run_tool(
        ["g++", "-shared", "-pthread", "-Wl,-Bsymbolic", "-o", str(folder / LIBRARY), *map(str, objects)],
        folder,
        COMPILE_DEADLINE_S,
    )
    shutil.rmtree(generated)
