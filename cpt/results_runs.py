"""The runs behind `cpt results`: their settings, which are finished, and which are to be trained next."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cpt.data import DIGITS
from cpt.experiments import BUDGET, CONTROLS, Row, Section
from cpt.hw.contract import ContractError
from cpt.model.files import write_atomically
from cpt.model.run_folder import SUMMARY
from cpt.model.units import metric

if TYPE_CHECKING:
    from cpt.model.training import Task, TorchConfig
    from cpt.model.training.yardsticks import Baseline

MAIN_ROWS = ("static", "CPT")


@dataclass(frozen=True)
class Job:
    """A run of one seed; ``rate``: to choose a learning rate, on a part of the training data."""

    section: Section
    row: Row
    seed: int
    rate: float = 0.0

    @property
    def entry(self) -> str:
        """What the job shares with those of other seeds, as a path."""
        slug = "-".join(self.row.name.lower().replace(",", "").replace("'", "").split())
        return (
            f"{self.section.name}/rates/{slug}-{self.rate:.3g}"
            if self.rate
            else f"{self.section.name}/{slug}"
        )


@dataclass(frozen=True)
class Result:
    """What a finished run came to."""

    value: float
    """Of the task's metric, on test data, at ``eval_bits``."""
    gbitops: float
    eval_bits: int | str


class Runs:
    """All runs of some sections.

    Args:
        sections: what is compared.
        out: folder of the runs.
        record: file of results whose folders may be gone; need not exist.

    Raises `ContractError` for a finished run of other settings, and for a record that is none.
    """

    def __init__(self, sections: tuple[Section, ...], out: Path, record: Path) -> None:
        self.sections, self.out, self.record = sections, out, record
        self._recorded = _read(record) if record.is_file() else {}
        self._tasks: dict[tuple[str, int, bool], Task] = {}
        self._found: dict[tuple[str, int], Result] = {}
        self._known_steps: dict[str, int] = {}
        self._hashes: dict[tuple[str, int, bool], str] = {}

    def pending(self) -> Iterator[Job]:
        """Runs that are not finished and whose learning rate is known, the most telling first."""
        for job in self._jobs():
            if self.config(job) is not None and self.result(job) is None:
                yield job

    def folder(self, job: Job) -> Path:
        """Where the run lies."""
        return self.out / f"{job.entry}-{job.seed}"

    def task(self, section: Section, seed: int = 0, *, choosing: bool = False) -> Task:
        """What is trained and tested on; ``choosing``: the test part is one of the training data."""
        key = section.name, seed if section.labels else 0, choosing
        if key not in self._tasks:
            from cpt.model.training.yardsticks import held_back

            task = _open(section, seed)
            self._tasks[key] = held_back(task) if choosing else task
            self._hashes[key] = self._tasks[key].sha256()
        return self._tasks[key]

    def data_sha256(self, section: Section, seed: int = 0, *, choosing: bool = False) -> str:
        """Hash of the task's data."""
        self.task(section, seed, choosing=choosing)
        return self._hashes[section.name, seed if section.labels else 0, choosing]

    def task_of(self, job: Job) -> Task:
        """The task of a run."""
        return self.task(job.section, job.seed, choosing=bool(job.rate))

    def baseline(self, section: Section) -> Baseline:
        """What the metric is without training."""
        from cpt.model.training.yardsticks import baseline

        return baseline(self.task(section))

    def config(self, job: Job) -> TorchConfig | None:
        """Settings of a run; None while the learning rate, or another row's work, is not known."""
        rate = job.rate or self.rate(job.section, job.row)
        if rate is None:
            return None
        settings = {**_settings(job.section, job.row), "lr": rate, "seed": job.seed}
        if job.row.work_of:
            steps = self._steps(job)
            if steps is None:
                return None
            settings["steps"] = steps
        return _config(settings)

    def rate(self, section: Section, row: Row) -> float | None:
        """The row's learning rate, chosen where the section has several; None until those runs are done."""
        row = section.row(row.rate_of) if row.rate_of else row
        if not section.rates:
            return _config(_settings(section, row)).lr
        figures: dict[float, list[float]] = {}
        for job in self._rate_jobs(section, row):
            result = self.result(job)
            if result is None:
                return None
            figures.setdefault(job.rate, []).append(result.value)
        sign = 1 if metric(self.task(section).metric).more_is_better else -1
        return max(figures, key=lambda rate: sign * statistics.mean(figures[rate]))

    def finished(self, section: Section, row: Row) -> dict[int, Result]:
        """Results by seed."""
        jobs = [Job(section, row, seed) for seed in range(row.seeds)]
        results = {job.seed: self.result(job) for job in jobs if self.config(job) is not None}
        return {seed: result for seed, result in results.items() if result is not None}

    def result(self, job: Job) -> Result | None:
        """What a run came to, from its folder or the record; None if it is not finished."""
        key = job.entry, job.seed
        if key not in self._found:
            found = self._in_folder(job) or self._in_record(job)
            if found is None:
                return None
            self._found[key] = found
        return self._found[key]

    def write_record(self) -> None:
        """All results, so that they outlive their folders."""
        entries: dict[str, Any] = dict(self._recorded)
        for job in self._jobs():
            result = self.result(job) if self.config(job) is not None else None
            if result is None:
                continue
            key = self._key(job)
            if entries.get(job.entry, {}).get("key") != key:
                entries[job.entry] = {"key": key, "eval_bits": result.eval_bits, "runs": {}}
            entries[job.entry]["runs"][str(job.seed)] = [result.value, result.gbitops]
        lines = [
            f"{json.dumps(name)}: {json.dumps(entries[name], sort_keys=True)}" for name in sorted(entries)
        ]
        write_atomically(self.record, ("{\n" + ",\n".join(lines) + "\n}\n").encode())

    def _jobs(self) -> Iterator[Job]:
        """All runs, the most telling first: static and CPT, then what they are held against, then the others.

        Learning rates before seed after seed, so that an early stop leaves rows to compare.
        """
        for telling in range(3):
            rows = [
                (section, row) for section in self.sections for row in section.rows if _rank(row) == telling
            ]
            for section, row in rows:
                yield from self._rate_jobs(section, row)
            for seed in range(max((row.seeds for _, row in rows), default=0)):
                yield from (Job(section, row, seed) for section, row in rows if seed < row.seeds)

    def _rate_jobs(self, section: Section, row: Row) -> list[Job]:
        """Runs that the row's own learning rate is chosen by."""
        if row.rate_of or not section.rates:
            return []
        usual = _config(_settings(section, row)).lr
        rates = [float(f"{usual * factor:.2g}") for factor in section.rates]
        return [Job(section, row, seed, rate) for rate in rates for seed in range(section.rate_seeds)]

    def _steps(self, job: Job) -> int | None:
        """Steps in which the row's bits spend the bit operations of another row; None: not known yet."""
        if job.entry not in self._known_steps:
            section, row = job.section, job.row
            wanted = self._spent(section, section.row(row.work_of))
            if wanted is None:
                return None
            steps = 0
            for _ in range(2):  # a plan by steps has not quite the mean of one by epochs
                work, length = self._work(section, row, steps)
                steps = max(round(length * wanted / work), 1)
            self._known_steps[job.entry] = steps
        return self._known_steps[job.entry]

    def _spent(self, section: Section, row: Row) -> float | None:
        """As `_work`; of a row whose bits training finds, the mean of its finished runs, once all are."""
        config = _config(_settings(section, row))
        if config.planned:
            return self._work(section, row, 0)[0]
        found = self.finished(section, row)
        static = section.rows[0]
        reference = self.finished(section, static)
        if len(found) < row.seeds or not reference:
            return None
        share = statistics.mean(result.gbitops for result in found.values()) / reference[0].gbitops
        return share * self._work(section, static, 0)[0]

    def _work(self, section: Section, row: Row, steps: int) -> tuple[float, int]:
        """(bit operations per multiply-accumulate of a sample, steps) of a run."""
        from cpt.model.bitops import mean_cost
        from cpt.model.training.methods import make_plan

        config = _config({**_settings(section, row), **({"steps": steps} if steps else {})})
        per_epoch = self.task(section).steps_per_epoch(config.batch_size)
        length = config.plan_length(per_epoch)
        total = config.total_steps(per_epoch)
        return mean_cost(make_plan(config, length), length) * total, total

    def _in_folder(self, job: Job) -> Result | None:
        from cpt.model.json_files import read_object

        path = self.folder(job) / SUMMARY
        if not path.is_file():
            return None
        try:
            summary = read_object(path)
        except ValueError as error:
            raise ContractError(str(error)) from None
        wanted = self.config(job)
        assert wanted is not None
        stated = wanted.quantisation().plug.stated
        same = all(summary.get(name) == value for name, value in stated.items())
        config = summary.get("config")
        if not isinstance(config, dict) or wanted.difference(config) or not same:
            raise ContractError(f"{path} has other settings than this version; allowed: delete its folder")
        if summary.get("dataset_sha256") != self.data_sha256(job.section, job.seed, choosing=bool(job.rate)):
            raise ContractError(f"{path} is of other data than here; allowed: delete its folder")
        return Result(summary[self.task(job.section).metric], summary["gbitops"], summary["eval_bits"])

    def _in_record(self, job: Job) -> Result | None:
        entry = self._recorded.get(job.entry)
        if entry is None or entry["key"] != self._key(job) or str(job.seed) not in entry["runs"]:
            return None
        value, work = entry["runs"][str(job.seed)]
        return Result(value, work, entry["eval_bits"])

    def _key(self, job: Job) -> str:
        """Hash of all that decides the results of the job's row, but for its seeds."""
        import hashlib

        config = self.config(job)
        assert config is not None
        values = dataclasses.replace(config, seed=0).as_dict()
        default = type(config)().as_dict()
        stated = {
            "config": {name: value for name, value in values.items() if value != default[name]},
            "quantiser": config.quantisation().plug.stated,
            "data": self.data_sha256(job.section, choosing=bool(job.rate)),
        }
        return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()[:16]


def _rank(row: Row) -> int:
    """0 for the rows that others are compared with, 1 for their controls."""
    if row.name in MAIN_ROWS:
        return 0
    return 1 if row.table in (BUDGET, CONTROLS) else 2


def _settings(section: Section, row: Row) -> dict[str, Any]:
    return {**section.settings, **row.settings}


def _config(settings: Mapping[str, Any]) -> TorchConfig:
    from cpt.model.training import TorchConfig

    return TorchConfig(**settings)


def _open(section: Section, seed: int) -> Task:
    from cpt.data import load_dataset
    from cpt.model.data import ImageArrays, ImageSet, shuffled
    from cpt.model.training import Classification, open_task

    if section.data != DIGITS:
        return open_task(section.data, None, _config(section.settings))
    data = load_dataset(section.data)
    train, test = (ImageArrays(part.pixels, part.labels) for part in (data.train, data.test))
    if section.labels:
        chosen = shuffled(len(train), seed, 0)[: section.labels]
        train = ImageArrays(train.pixels[chosen], train.labels[chosen])
    return Classification(ImageSet(data.name, train, test, data.classes))


def _read(path: Path) -> dict[str, Any]:
    from cpt.model.json_files import read_object

    try:
        entries = read_object(path)
        for entry in entries.values():
            for value, work in entry["runs"].values():
                float(value), float(work)
            entry["key"], entry["eval_bits"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ContractError(f"{path} is no record of results; allowed: one that cpt results wrote") from None
    return entries
