"""The same bits on every machine: under other BLAS kernels and instruction sets, and no way back."""

import ast
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from test_layering import MODULES, reachable

ROOT = Path(__file__).parent.parent
PRINTED = (ROOT / "docs" / "board.md").read_text(encoding="utf-8")
DISABLE = "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL"
"""What numpy may leave unused; names that the processor lacks are ignored."""
SETTINGS = {
    "Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "SkylakeX": {"OPENBLAS_CORETYPE": "SkylakeX"},
    "Sandybridge": {"OPENBLAS_CORETYPE": "Sandybridge", "NPY_DISABLE_CPU_FEATURES": DISABLE},
}
PRODUCT = "import numpy as np; a = np.ones((300, 300), np.float32); a @ a"


def child(*command, **settings):
    return subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": str(ROOT), **settings},
        capture_output=True,
        text=True,
        timeout=300,
    )


def trained(folder, **settings):
    """Weights' sha256 and metrics of docs/board.md's short training in a process with ``settings``."""
    line = re.search(r"^cpt (train --preset tiny .*)$", PRINTED, re.MULTILINE)
    options = ("--json", "--run-name", "run", "--out", str(folder))
    done = child("-m", "cpt.main", *shlex.split(line[1]), *options, **settings)
    assert done.returncode == 0, done.stderr
    rows = (folder / "run" / "metrics.jsonl").read_text(encoding="utf-8")
    return json.loads(done.stdout)["weights_sha256"], rows


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("plain"))


def test_the_weights_are_those_that_the_documentation_prints(expected):
    assert re.search(r"weights sha256: ([0-9a-f]{64})", PRINTED)[1] == expected[0]


@pytest.mark.parametrize("name", SETTINGS)
def test_another_processor_trains_the_same_weights_and_writes_the_same_metrics(name, expected, tmp_path):
    settings = SETTINGS[name]
    if child("-c", PRODUCT, **settings).returncode == -signal.SIGILL:
        pytest.skip(f"this processor lacks instructions of OpenBLAS's {name} kernels")
    assert trained(tmp_path, **settings) == expected


def test_a_library_that_sums_backwards_trains_the_same_weights(expected, tmp_path):
    """So no kernel can matter, OpenBLAS's for AVX-512 included, which are set here and never reached."""
    if not (compiler := shutil.which("cc")):
        pytest.skip("no C compiler")
    library, log = tmp_path / "blas.so", tmp_path / "calls"
    source = Path(__file__).with_name("backward_blas.c")
    build = (compiler, "-O2", "-ffp-contract=off", "-shared", "-fPIC", "-o", library, source)
    subprocess.run(build, check=True, timeout=60)
    backwards = {"LD_PRELOAD": str(library), "BACKWARD_BLAS_LOG": str(log)}
    child("-c", PRODUCT, **backwards)
    if not log.exists() or int(log.read_text()) < 2:
        pytest.skip("this numpy calls its BLAS by other names")
    log.unlink()
    assert trained(tmp_path, OPENBLAS_CORETYPE="SkylakeX", **backwards) == expected
    assert max(map(int, log.read_text().split())) > 100, "products of codes go through BLAS"


# What follows keeps operations out whose last bit is the processor's, the library's or the version's.

WEIGHT_PATH = sorted(
    name
    for name in reachable("cpt.host.trainer") | reachable("cpt.host.run") | reachable("cpt.data")
    if name.startswith(("cpt.host.", "cpt.model.")) or name == "cpt.data"
    if not name.startswith("cpt.model.data.") or name.endswith((".folders", ".decode"))
) + sorted(name for name in MODULES if name.startswith("cpt.model.golden.fabric"))
"""Modules that training on the accelerator runs through, beside the devices, which hand over integers.

Of `cpt.model.data`, whose other modules are torch's, class folders alone. And the fabric's golden step.
"""
SUMS = {"sum", "mean", "average", "var", "std", "prod", "cumsum", "nansum", "reduce", "accumulate", "trace"}
PRODUCTS = {"dot", "vdot", "inner", "outer", "matmul", "einsum", "tensordot", "convolve", "correlate"}
FUNCTIONS = {
    *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "power", "pow", "logaddexp", "softmax"),
    *("sin", "cos", "tan", "tanh", "sinh", "cosh", "arctan", "arctan2", "erf", "hypot", "cbrt", "reciprocal"),
}
RANDOM = {"random", "default_rng", "Generator", "PCG64", "standard_normal", "normal_", "randn"}
REASONS = {
    **dict.fromkeys(SUMS, "adds floats in blocks that follow the registers' width: sum_in_halves"),
    **dict.fromkeys(PRODUCTS, "BLAS adds in an order of its kernel's: ordered_product"),
    **dict.fromkeys(FUNCTIONS, "its last bit is the library's: cpt.model.arithmetic"),
    **dict.fromkeys(RANDOM, "numpy's distributions call the library's log and exp: cpt.model.noise"),
    "sqrt": "of float32 is approximate on 32-bit Arm: reciprocal_root, or math.sqrt of one number",
    "divide": "of float32 is approximate on 32-bit Arm: cpt.model.arithmetic.divide",
    "true_divide": "as divide",
}
ALLOWED = {
    ("cpt.model.golden.gemm", "@"): "integers below 2**24 or 2**53: no order of additions can round",
    ("cpt.model.golden.conv", "matmul"): "a parameter, of integers: gemm's, or the accelerator's",
    ("cpt.model.loss", "sum"): "counts booleans",
    ("cpt.model.golden.fabric.float_unit", "reduce"): "the smallest, of integers",
    ("cpt.model.golden.fabric.product", "sum"): "integers",
    ("cpt.model.golden.fabric.channel", "/"): "two counts",
    ("cpt.model.golden.fabric.trainer", "/"): "two counts",
    ("cpt.model.golden.fabric.trainer", "accumulate"): "update's, of micro-batches in order",
    **{
        (f"cpt.{module}", "sum"): "integers in Python"
        for module in (
            "host.run",
            "model.bitops",
            "model.npz",
        )
    },
    ("cpt.model.arithmetic", "divide"): "the one that it offers: float32 only where that is exact",
    ("cpt.model.arithmetic", "sqrt"): "float64",
}
DIVISION_FREE = ("cpt.model.loss", "cpt.model.golden.")
"""Where ``/`` may only divide numbers by numbers, never arrays."""
INTEGERS = {"int64", "int32"}


def found(module):
    """(name, line) of every operation in ``module`` that `REASONS` or `DIVISION_FREE` speak of."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ast.MatMult):
            yield "@", node.lineno
        if module.startswith(DIVISION_FREE) and isinstance(node, (ast.BinOp, ast.AugAssign)):
            numbers = isinstance(node, ast.BinOp) and isinstance(node.left, ast.Constant)
            if isinstance(node.op, ast.Div) and not numbers:
                yield "/", node.lineno
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            owner = getattr(called.value, "id", "") if isinstance(called, ast.Attribute) else ""
            kinds = {word.value.attr for word in node.keywords if isinstance(word.value, ast.Attribute)}
            exact = owner == "fl" or (owner == "math" and name in ("sqrt", "prod", "fsum"))
            own = isinstance(called, ast.Name) and name == "divide"
            if name in REASONS and not exact and not own and not kinds & INTEGERS:
                yield name, node.lineno


def complaints(module):
    return [
        f"{module}:{line}: {name}: {REASONS.get(name, 'BLAS, or an array divided: cpt.model.arithmetic')}"
        for name, line in found(module)
        if (module, name) not in ALLOWED
    ]


@pytest.mark.parametrize("module", WEIGHT_PATH)
def test_nothing_on_the_way_to_the_weights_leaves_a_bit_to_the_processor(module):
    assert complaints(module) == []


def test_every_exception_is_still_needed():
    used = {(module, name) for module in WEIGHT_PATH for name, _ in found(module)}
    assert set(ALLOWED) <= used
