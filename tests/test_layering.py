"""Dependencies point one way: hw.contract <- host, model <- sim <- commands; the runtime needs no torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("hw", "host", "sim", "model")
"""Packages of `cpt` whose folders stand at the top of the tree; `cpt` holds a link to each."""
MODULES = {
    ".".join([*prefix, *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__"): path
    for folder, prefix in (("cpt", ()), *((part, ("cpt",)) for part in PARTS))
    for path in sorted((ROOT / folder).rglob("*.py"))
    if folder != "cpt" or path.parent == ROOT / "cpt"
}
STANDARD = sys.stdlib_module_names
RULES = {
    # package: the other packages and third-party modules it may import
    "cpt.hw.contract": set(),
    "cpt.hw": {"amaranth"},
    "cpt.model": {"numpy", "torch", "skimage", "sklearn", "scipy", "PIL", "matplotlib"},
    # what only works beside a package of its own, an extra
    "cpt.model.callbacks.lightning": {"torch", "lightning", "cpt.model"},
    "cpt.model.callbacks.hugging_face": {"torch", "transformers", "cpt.model"},
    "cpt.model.layers.hugging_face": {"torch", "transformers", "cpt.model"},
    "cpt.host": {"numpy", "pynq", "pynqmetadata", "tqdm", "cpt.hw.contract", "cpt.model"},
    "cpt.sim": None,
    "cpt": None,
}
COMMANDS = {name for name in MODULES if name.count(".") == 1 and name.partition(".")[2] not in PARTS}
NOT_ABOVE = {"cpt.sim": COMMANDS, "cpt": set()}
"""What the packages that may import everything else still may not."""


def running(tree):
    """All nodes of ``tree`` but those that only type checkers read."""
    yield tree
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield from running(node)


def imports(module, walk=ast.walk):
    """Full names of everything ``module`` imports, wherever the statement stands."""
    names = set()
    for node in walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} uses a relative import"
            names |= {
                f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in MODULES else node.module
                for alias in node.names
            }
    return names - {"__future__"}


def package(module):
    """The longest rule that ``module`` falls under."""
    return max((rule for rule in RULES if module == rule or module.startswith(f"{rule}.")), key=len)


def within(name, allowed):
    """Whether ``name`` is one of ``allowed`` or inside one."""
    return any(name == item or name.startswith(f"{item}.") for item in allowed)


def reachable(module):
    """``module`` and every module of this project that importing it may import."""
    seen, todo = set(), [module]
    while todo:
        current = todo.pop()
        if current not in seen:
            seen.add(current)
            todo += [name for name in imports(current, running) if name in MODULES]
            todo += [parent for parent in (current.rpartition(".")[0],) if parent]
    return seen


def third_party(modules):
    """Top-level names outside project and standard library that ``modules`` import."""
    names = {name.partition(".")[0] for module in modules for name in imports(module, running)}
    return names - STANDARD - {"cpt"}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_import_is_allowed_in_its_package(module):
    own = package(module)
    for name in imports(module):
        if name.partition(".")[0] in STANDARD or within(name, {own}):
            continue
        if RULES[own] is None:
            assert not within(name, NOT_ABOVE[own]), f"{module} imports {name}"
        else:
            # gateware derives from the contract, which lies inside its own package
            assert within(name, RULES[own] | ({"cpt.hw.contract"} if own == "cpt.hw" else set())), (
                f"{module} imports {name}; allowed beside its own package: {sorted(RULES[own])}"
            )


@pytest.mark.parametrize("module", sorted(name for name in MODULES if package(name) == "cpt.host"))
def test_the_runtime_reaches_nothing_but_numpy_and_pynq(module):
    """Through whatever it imports, the modules of `model` included."""
    assert third_party(reachable(module)) <= {"numpy", "pynq", "pynqmetadata", "tqdm"}


def test_the_fast_model_reaches_nothing_but_numpy():
    assert third_party(reachable("cpt.sim.fast")) <= {"numpy"}


def test_only_driver_and_devices_import_pynq():
    importers = {name for name in MODULES if package(name) == "cpt.host" and "pynq" in third_party({name})}
    assert importers == {"cpt.host.contiguous", "cpt.host.driver", "cpt.host.linux"}


def test_gateware_evaluates_its_annotations():
    """Postponed ones make an Amaranth component fail and a Struct silently empty."""
    for module, path in MODULES.items():
        if package(module) in ("cpt.hw", "cpt.hw.contract"):
            assert "from __future__" not in path.read_text(encoding="utf-8"), module


@pytest.mark.parametrize("module", sorted(MODULES))
def test_sources_parse_as_python_3_10(module):
    ast.parse(MODULES[module].read_text(encoding="utf-8"), feature_version=(3, 10))


HERMETIC = """
import importlib, pkgutil, sys

BLOCKED = {"torch", "amaranth", "cocotb", "cocotbext", "cocotb_tools", "skimage", "sklearn", "matplotlib"}

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocker())
try:
    import torch
except ImportError:
    pass
else:
    raise SystemExit("torch is not blocked")

from cpt import host
for info in pkgutil.walk_packages(host.__path__, "cpt.host."):
    importlib.import_module(info.name)

import numpy as np
from cpt.host.config import TrainConfig
from cpt.host.data import Images, held_out
from cpt.hw.contract import preset
from cpt.host.driver import Accelerator
from cpt.sim.device import open_simulated
from cpt.trainers import trainer_on

rng = np.random.default_rng(0)
labels = np.arange(80) % 4
pixels = (rng.integers(0, 100, (80, 8, 8, 1)) + 40 * labels[:, None, None, None]).astype(np.float32)
data = held_out("steps of brightness", Images(pixels, labels.astype(np.int64)))
device = open_simulated("fast", preset("tiny", "step"), "ideal")
config = TrainConfig(model="resnet8", width=4, steps=6, cycles=2, batch_size=16, lr=0.05)
with Accelerator(device.bitfile, device) as accelerator:
    trainer = trainer_on(config, data, accelerator)
    reports = []
    while trainer.step < trainer.total_steps:
        reports += trainer.train_epoch()
device.close()
assert len(reports) == 6, reports
assert {report.fw for report in reports} > {3, 8}, reports
assert all(np.isfinite(report.loss) for report in reports), reports
assert reports[-1].loss < reports[0].loss, reports
assert not BLOCKED & set(sys.modules), BLOCKED & set(sys.modules)
print("trained", len(reports), "steps")
"""


def test_the_runtime_trains_on_the_fast_model_without_torch_amaranth_and_cocotb():
    done = subprocess.run(
        [sys.executable, "-c", HERMETIC], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "trained 6 steps\n"
