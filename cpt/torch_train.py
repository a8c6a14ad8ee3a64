"""Training in torch behind ``cpt train --device cpu|cuda``: the options and files of the accelerator."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpt import run_folder
from cpt.data import BY_NAME, load_dataset
from cpt.hw.contract import ContractError
from cpt.model.units import change, gbitops, metric, precision
from cpt.options import AUTO, TRAINING
from cpt.progress import Progress, note
from cpt.public_flags import settle
from cpt.run_folder import STATIC
from cpt.table import align, paragraph
from cpt.torch_options import TORCH

if TYPE_CHECKING:
    from cpt.model.training import Task, TorchConfig
    from cpt.model.training.distributed import Processes
    from cpt.model.training.own_quantiser import OwnQuantiser

TASK_DEFAULTS: dict[str, dict[str, Any]] = {
    "Classification": {},
    "LanguageModel": {
        "model": "transformer2",
        "width": 64,
        "fw": (4, 8),
        "optimiser": "adamw",
        "lr": 3e-3,
        "weight_decay": 0.01,
        "clip": 1.0,
        "epochs": 4,
        "cycles": 4,
        "per": "iteration",
    },
    "SuperResolution": {
        "model": "pan4",
        "width": 20,
        "fw": (8, 16),
        "bw": (16, 16),
        "optimiser": "adam",
        "lr": 2e-3,
        "weight_decay": 0.0,
        "epochs": 12,
        "cycles": 4,
    },
    "NodeClassification": {
        "model": "gcn2",
        "batch_size": 1,
        "optimiser": "adam",
        "lr": 0.01,
        "weight_decay": 5e-4,
        "epochs": 20,
        "cycles": 8,
        "per": "iteration",
    },
}
"""What an option is, by kind of task, where it is not given and differs from `TorchConfig`'s default."""
LSTM_DEFAULTS = {"optimiser": "adam", "lr": 2e-3, "weight_decay": 0.0}
OF_OPTIMISER = ("lr", "weight_decay")
"""With a quantiser that has an optimiser of its own these are `TorchConfig`'s."""


def run(arguments: argparse.Namespace) -> int:
    """Train, print the table and the summary; returns the exit status."""
    import torch

    from cpt.model.training.distributed import join

    if arguments.check_rtl:
        raise ContractError(f"--check-rtl is given for device {arguments.device!r}; allowed: fast")
    for name, least in (("threads", 1), ("workers", 0), ("save_every", 0), ("health", 0)):
        value = getattr(arguments, name)
        if value is not None and value < least:
            raise ContractError(f"{name.replace('_', '-')} is {value}; allowed: at least {least}")
    if arguments.health and arguments.compile:
        raise ContractError(f"health is {arguments.health} with compile; allowed: one of them")
    torch.set_num_threads(arguments.threads or 1)
    try:
        processes = join(arguments.device)
    except ValueError as error:
        raise ContractError(str(error)) from None
    try:
        with contextlib.redirect_stdout(sys.stderr if arguments.json else sys.stdout):
            summary = _train(arguments, processes)
    finally:
        processes.close()
    if arguments.json and processes.leads:
        print(json.dumps(summary, sort_keys=True))
    processes.succeed()
    return 0


def _train(arguments: argparse.Namespace, processes: Processes) -> dict[str, Any]:
    """All runs of the command; the summary of the first, with the static one's inside."""
    try:
        config = make_config(arguments)
    except ValueError as error:
        raise ContractError(str(error)) from None
    name = run_folder.default_name(arguments.data, config.model, config.method, arguments.device)
    with run_folder.claimed(arguments, name, processes.leads) as folder:
        return _train_in(folder, arguments, config, processes)


def _train_in(
    folder: Path, arguments: argparse.Namespace, config: TorchConfig, processes: Processes
) -> dict[str, Any]:
    from cpt.model.micro_batch import caution
    from cpt.model.run import SUMMARY, write_json

    tested: dict[str, Any] = {}
    try:
        task = _task(arguments, config)
        if processes.leads:
            if text := caution(config.micro_batch):
                note(arguments, f"cpt train: {text}")
            print(f"data: {task.name}, {task.split()}")
        if arguments.fw and arguments.fw[0] == AUTO:
            config, tested = _with_lower_bound(
                config, task, processes, folder / "range-test", bool(arguments.resume)
            )
            if processes.leads:
                print(f"range test: lower bound {tested['lower_bound']} bits")
    except ValueError as error:
        raise ContractError(str(error)) from None
    compare = not config.steps if arguments.compare is None else arguments.compare
    compare = compare and config.method not in ("static", "fp32")
    name = config.method if config.method != "static" else STATIC
    beside = config.static() if compare else None
    summary = _one(arguments, name, config, task, folder, processes, beside)
    if beside:
        static = _one(arguments, STATIC, beside, task, folder / STATIC, processes)
        summary["static"] = static
        summary["saving"] = {"gbitops": 1 - summary["gbitops"] / static["gbitops"]}
    if tested:
        summary["range_test"] = tested
    if processes.leads:
        write_json(folder / SUMMARY, summary)
        print(_table(summary, task))
        print(f"weights sha256: {summary['weights_sha256']}")
        print(f"files: {folder}")
        print(f"next: cpt report {shlex.quote(str(folder))} draws what is in them")
    return summary


def make_config(arguments: argparse.Namespace) -> TorchConfig:
    """The configuration that the options describe; raises `ValueError` in one line."""
    from cpt.model.training import Classification, LanguageModel, NodeClassification, SuperResolution
    from cpt.model.training.catalog import GRAPHS, IMAGES, LANGUAGE, PICTURES
    from cpt.model.training.config import TorchConfig
    from cpt.model.training.own_network import OwnNetwork
    from cpt.model.training.own_quantiser import OwnQuantiser

    settle(arguments)
    kinds = {
        LanguageModel: LANGUAGE,
        SuperResolution: PICTURES,
        NodeClassification: GRAPHS,
        Classification: IMAGES,
    }
    kind = next((kind for kind, names in kinds.items() if arguments.data in names), Classification)
    if arguments.network and (arguments.model or kind is not Classification):
        odd = "--model" if arguments.model else f"data {arguments.data!r}"
        raise ValueError(f"network is given with {odd}; allowed: without --model, and for images")
    own = OwnQuantiser.given(arguments.quantiser)
    config = TorchConfig(**_values(arguments, TASK_DEFAULTS[kind.__name__], own))
    if own:
        own.check(config.quantisation())
    if arguments.network:
        return dataclasses.replace(config, model=OwnNetwork(arguments.network).name)
    return config


def make_task(arguments: argparse.Namespace) -> tuple[TorchConfig, Task]:
    """The configuration and task that the options describe; raises `ValueError` in one line."""
    config = make_config(arguments)
    return config, _task(arguments, config)


def _task(arguments: argparse.Namespace, config: TorchConfig) -> Task:
    from cpt.model.training.own_network import OwnNetwork

    task = open_data(arguments.data, arguments.data_dir, arguments.scale, config, arguments.image_size)
    if arguments.network:
        task.network = OwnNetwork(arguments.network)
    return task


def open_data(
    name: str,
    folder: Path | None,
    scale: int | None,
    config: TorchConfig,
    image_size: Sequence[int] | None = None,
) -> Task:
    """The task of ``--data``, ``--data-dir`` and ``--scale``; raises `ValueError` in one line."""
    from cpt.model.data import ImageArrays, ImageSet
    from cpt.model.training import Classification, open_task
    from cpt.model.training.catalog import NAMES

    if name in NAMES:
        if image_size:
            raise ValueError(f"image-size is given for data {name!r}; allowed: a folder of class folders")
        return open_task(name, folder, config, scale or 4)
    if name not in BY_NAME and not name.endswith(".npz") and not Path(name).is_dir():
        raise ValueError(
            f"data is {name!r}; allowed: {', '.join((*BY_NAME, *NAMES))}, an .npz file, "
            "or a folder of class folders"
        )
    data = load_dataset(name, image_size)
    train, test = (ImageArrays(part.pixels, part.labels) for part in (data.train, data.test))
    return Classification(ImageSet(data.name, train, test, data.classes, pad=config.max_shift))


def _values(
    arguments: argparse.Namespace, defaults: dict[str, Any], own: OwnQuantiser | None = None
) -> dict[str, Any]:
    """Fields of `TorchConfig`: given, or the task's."""
    from cpt.model.quantisers import DEFAULT, parsed_options, quantiser_kind

    given: dict[str, Any] = {option.field: getattr(arguments, option.field) for option in (*TRAINING, *TORCH)}
    given = {field: value for field, value in given.items() if value is not None}
    if "fw" in given:
        fw = given["fw"]
        if len(fw) > 2 or AUTO in fw[1:]:
            raise ValueError(f"fw is {' '.join(map(str, fw))}; allowed: one or two bit-widths, or auto first")
        given["fw"] = _to_be_tested(fw, defaults) if fw[0] == AUTO else (fw[0], fw[-1])
    if given.get("method") == "pfq" and "fw" in given:
        raise ValueError(f"fw is {' '.join(map(str, given['fw']))} with method pfq; allowed: --pfq-fw")
    for field in {"pfq_fw", "pfq_bw", "lr_drops"} & set(given):
        given[field] = tuple(given[field])
    given["quantiser"] = own.name if own else given.get("quantiser", DEFAULT)
    short = [f"dx_weights={arguments.dx_weights}"] if arguments.dx_weights else []
    typed = [*short, *given.get("quantiser_options", ())]
    given["quantiser_options"] = parsed_options(given["quantiser"], typed)
    if own:
        own.try_options(given["quantiser_options"])
    if "bw" in given:
        given["bw"] = (given["bw"], given["bw"])
    if arguments.cyclic_bw is not None:
        given["bw"] = tuple(arguments.cyclic_bw)
    if str(given.get("model", "")).startswith("lstm"):
        defaults = {**defaults, **LSTM_DEFAULTS}
    if kind := quantiser_kind(given["quantiser"]).optimiser_kind:
        defaults = {name: value for name, value in defaults.items() if name not in OF_OPTIMISER}
        defaults["optimiser"] = kind
    values = {**defaults, **given}
    if "fw" in values and values["fw"][0] == values["fw"][1]:
        values.setdefault("method", "static")
    return values


def _to_be_tested(fw: Sequence[Any], defaults: dict[str, Any]) -> tuple[int, int]:
    """Bounds of the range test, for ``auto`` or ``auto HIGHEST``."""
    from cpt.model.range_test import RangeTest

    highest = fw[1] if len(fw) == 2 else defaults.get("fw", RangeTest().bits)[1]
    return RangeTest().bits[0], highest


def _with_lower_bound(
    config: TorchConfig, task: Task, processes: Processes, folder: Path, known: bool
) -> tuple[TorchConfig, dict[str, Any]]:
    """``config`` with the lower bound that the range test finds, and the test's result.

    ``known``: an earlier start of the run has left it in ``folder``.
    """
    from cpt.model.json_files import number, read_object
    from cpt.model.range_test import RangeTest
    from cpt.model.training.range_test import find_bounds, guessing
    from cpt.range_test import CURVE, as_dict, write_result

    if config.method in ("static", "fp32"):
        raise ValueError(f"fw is {AUTO} with method {config.method}; allowed: a method that moves precision")
    path = folder / CURVE
    if known and path.is_file():
        found = read_object(path)
        number(found, "lower_bound", 1, config.fw[1], path)
    else:
        settings = RangeTest(bits=config.fw, chance=guessing(task), bw=config.bw[1])
        result = find_bounds(config, task, settings, processes)
        found = as_dict(result, f"{config.model} on {task.name}", config.as_dict())
        if processes.leads:
            write_result(result, found, folder)
    found = {name: value for name, value in found.items() if name not in ("curve", "config")}
    return dataclasses.replace(config, fw=(found["lower_bound"], config.fw[1])), found


def _one(
    arguments: argparse.Namespace,
    name: str,
    config: TorchConfig,
    task: Task,
    folder: Path,
    processes: Processes,
    beside: TorchConfig | None = None,
) -> dict[str, Any]:
    """Train one run and give its summary; ``beside``: settings of the static run that follows."""
    from cpt.model.checkpoint import CheckpointError
    from cpt.model.data import DataError
    from cpt.model.training import TorchRun, TorchTrainer, TrainingDiverged
    from cpt.model.training.trainer import StepReport

    try:
        trainer = TorchTrainer(
            config, task, processes, arguments.workers or 0, bool(arguments.compile), arguments.health or 0
        )
        training = TorchRun(name, trainer, folder, arguments.save_every or 0)
        run_folder.begin(training, arguments, beside)
    except ValueError as error:
        raise ContractError(str(error)) from None
    shown = metric(task.metric)
    bar = Progress(name, trainer.total_steps, trainer.step, arguments.quiet or not processes.leads)

    def stepped(report: StepReport) -> None:
        bar.step(report.epoch, report.fw, report.bw, report.loss)

    def epoch_done(row: dict[str, Any]) -> None:
        bar.epoch(f"{shown.name} {shown.text(row[task.metric])}")

    with bar:
        try:
            return training.train(stepped, epoch_done)
        except (TrainingDiverged, CheckpointError, DataError) as error:
            raise ContractError(str(error)) from None


def _table(summary: dict[str, Any], task: Task) -> str:
    """What was reached and what it cost, static run and difference included where there is one."""
    shown = metric(task.metric)
    rows = [("run", "precision", f"test {shown.name}", "GBitOPs"), _row(summary, task)]
    if "swa" in summary:
        rows.append(("averaged weights", "", shown.text(summary["swa"][task.metric]), ""))
    if "static" in summary:
        static = summary["static"]
        difference = summary[task.metric] - static[task.metric]
        rows += [
            _row(static, task),
            ("difference", "", shown.difference(difference), change(-summary["saving"]["gbitops"])),
        ]
    config = summary["config"]
    title = (
        f"{config['model']} on {summary['dataset']}, seed {config['seed']}, {summary['steps']} steps of "
        f"{config['batch_size']}; device {summary['device']}, {summary['processes']} process"
        f"{'es' if summary['processes'] > 1 else ''}"
    )
    return f"\n{paragraph(title)}\n\n{align(rows)}"


def _row(result: dict[str, Any], task: Task) -> tuple[str, ...]:
    config = result["config"]
    stages = f"FW {' '.join(map(str, config['pfq_fw']))}"
    special = {"fp32": "FP32", "pfq": stages}
    at = special.get(config["method"], precision(config["fw"], config["bw"]))
    bits = result["eval_bits"]
    evaluated = {0: "FP32", "learned": "learned bits"}.get(bits, f"FW{bits}")
    reached = metric(task.metric).text(result[task.metric])
    return (result["run"], at, f"{reached} ({evaluated})", gbitops(result["gbitops"]))
