"""Callbacks for other libraries' trainers, tried in these: schedules, resumed runs, sanity checks."""

import functools
import itertools
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from cpt.model import (
    CyclicPrecision,
    QuantConfig,
    StaticPrecision,
    dequantize_,
    precision,
    precisions,
    quantize_,
)
from cpt.model.callbacks.following import Following
from cpt.model.schedule import Plan, Static
from cpt.model.schedulers import PrecisionScheduler

SAMPLES, BATCH, EPOCHS, ACCUMULATED = 48, 4, 4, 2
BATCHES = SAMPLES // BATCH
ITERATIONS = BATCHES // ACCUMULATED


def data() -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(
        torch.randn(SAMPLES, 6, generator=generator), torch.randint(0, 3, (SAMPLES,), generator=generator)
    )


def network() -> nn.Sequential:
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    quantize_(net, QuantConfig(seed=5), filter_fn=lambda module, name: isinstance(module, nn.Linear))
    return net


def cyclic(unit: str, model: nn.Module, steps: int) -> CyclicPrecision:
    return CyclicPrecision(model, bits=(3, 8), cycles=2, total_steps=steps, unit=unit)


def expected(unit: str) -> list[tuple[int, int]]:
    """Bits of every batch of a run."""
    total = EPOCHS * (ITERATIONS if unit == "iteration" else 1)
    schedule = cyclic(unit, network(), total)
    bits = []
    for _ in range(total):
        bits += [schedule.get_last_bits()] * (EPOCHS * BATCHES // total)
        schedule.step()
    return bits


class Seen:
    """The bits that a network's first layer has in each of its training passes, and otherwise."""

    def __init__(self, model: nn.Module) -> None:
        self.training: list[tuple[int, int]] = []
        self.evaluating: list[tuple[int, int]] = []
        first = next(iter(precisions(model).values()))

        def look(module: nn.Module, inputs: tuple) -> None:
            seen = self.training if module.training else self.evaluating
            seen.append((int(first.fw_bits), int(first.bw_bits)))

        model.register_forward_pre_hook(look)


class Resumable(DataLoader):
    """Goes on behind the batches that it has given, as Lightning wants it of a run that stops in an epoch."""

    begun = given = 0

    def __iter__(self):
        self.given, self.begun = self.begun, 0
        for batch in itertools.islice(super().__iter__(), self.given, None):
            self.given += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"given": self.given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.begun = state["given"]


def same(one: nn.Module, other: nn.Module) -> None:
    states = one.state_dict(), other.state_dict()
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


@pytest.mark.parametrize(
    ("make", "steps", "message"),
    [
        (cyclic, {"epoch": -1}, "has -1 steps of unit 'epoch'"),
        (cyclic, {"epoch": float("inf")}, "has inf steps"),
        (
            lambda unit, model, steps: StaticPrecision(model, 8, unit="iteration"),
            {"epoch": 3},
            "is 'iteration'",
        ),
    ],
)
def test_what_a_schedule_cannot_follow_is_refused(make, steps, message) -> None:
    following = Following(functools.partial(make, "epoch"), "epoch")
    with pytest.raises(RuntimeError, match="no scheduler before training begins"):
        _ = following.scheduler
    with pytest.raises(ValueError, match=message):
        following.begin(network(), steps)


def test_a_unit_is_one_of_two_and_make_gives_a_scheduler() -> None:
    with pytest.raises(ValueError, match="unit is 'batch'; allowed: epoch, iteration"):
        Following(functools.partial(cyclic, "epoch"), "batch")
    with pytest.raises(TypeError, match="make gives int"):
        Following(lambda model, steps: steps, "epoch").begin(network(), {"epoch": 1})


def test_a_layer_that_never_runs_is_named_at_the_first_step() -> None:
    net = network()
    net.append(nn.Identity())
    idle = nn.ModuleDict({"used": net, "idle": nn.Linear(2, 2)})
    quantize_(idle, QuantConfig(seed=5), filter_fn=lambda module, name: isinstance(module, nn.Linear))
    following = Following(lambda model, steps: PrecisionScheduler(model, Plan(Static(8), Static(8))), "epoch")
    following.begin(idle, {"epoch": 2})
    net(torch.randn(4, 6))
    with pytest.raises(ValueError, match="quantised but never run: idle"):
        following.reach("epoch", 1)


class TestLightning:
    """`cpt.model.callbacks.lightning` in Lightning's trainer."""

    @pytest.fixture(autouse=True)
    def _library(self) -> None:
        pytest.importorskip("lightning")

    @staticmethod
    def run(folder: Path, callback, *, resumed: Path | None = None, validated: bool = True, **options):
        """A module after a run, and what its network has seen."""
        from lightning.pytorch import LightningModule, Trainer
        from lightning.pytorch.callbacks import ModelCheckpoint

        class Module(LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.net = network()

            def training_step(self, batch: list, batch_idx: int) -> torch.Tensor:
                return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

            def validation_step(self, batch: list, batch_idx: int) -> None:
                self.log("loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

            test_step = validation_step

            def configure_optimizers(self) -> torch.optim.Optimizer:
                return torch.optim.SGD(self.parameters(), 0.1, momentum=0.9)

        module = Module()
        seen = Seen(module.net)
        saves = ModelCheckpoint(folder, save_top_k=-1, filename="{epoch}-{step}", **options)
        trainer = Trainer(
            max_epochs=EPOCHS,
            accumulate_grad_batches=ACCUMULATED,
            callbacks=[callback, saves],
            logger=False,
            accelerator="cpu",
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        loaders = [Resumable(data(), BATCH), DataLoader(data(), BATCH) if validated else None]
        trainer.fit(module, *loaders, ckpt_path=resumed, weights_only=False)
        return trainer, module, seen

    @pytest.mark.parametrize("unit", ["epoch", "iteration"])
    @pytest.mark.parametrize(
        ("options", "name"),
        [
            ({}, f"epoch=1-step={2 * ITERATIONS}.ckpt"),
            ({"every_n_train_steps": 4}, "epoch=1-step=8.ckpt"),
            ({"save_on_train_epoch_end": True}, f"epoch=1-step={2 * ITERATIONS}.ckpt"),
        ],
        ids=["behind validation", "in an epoch", "behind an epoch"],
    )
    def test_a_resumed_run_ends_as_one_that_was_not_stopped(self, tmp_path, unit, options, name) -> None:
        from cpt.model.callbacks.lightning import PrecisionCallback

        make = functools.partial(cyclic, unit)
        whole, resumed = PrecisionCallback(make, unit), PrecisionCallback(make, unit)
        _, module, seen = self.run(tmp_path / "whole", whole, **options)
        assert seen.training == expected(unit)
        _, again, later = self.run(tmp_path / "again", resumed, resumed=tmp_path / "whole" / name, **options)
        assert later.training == expected(unit)[-len(later.training) :]
        assert 0 < len(later.training) < len(seen.training)
        same(module, again)
        assert whole.scheduler.last_step == resumed.scheduler.last_step

    def test_validation_and_sanity_check_change_nothing(self, tmp_path, recwarn) -> None:
        from cpt.model.callbacks.lightning import PrecisionCallback

        make = functools.partial(cyclic, "epoch")
        _, plain, _ = self.run(tmp_path / "plain", PrecisionCallback(make), validated=False)
        callback = PrecisionCallback(make, evaluate_at=8)
        trainer, checked, seen = self.run(tmp_path / "checked", callback)
        same(plain, checked)
        assert set(seen.evaluating) == {(8, 8)}
        assert not [warning for warning in recwarn if "evaluation before training" in str(warning.message)]
        assert seen.training == expected("epoch")
        assert trainer.callback_metrics["fw_bits"] == expected("epoch")[-1][0]
        bits = callback.scheduler.get_last_bits()
        trainer.test(checked, DataLoader(data(), BATCH), verbose=False)
        assert seen.evaluating[-1] == (8, 8)
        first = next(iter(precisions(checked).values()))
        assert (int(first.fw_bits), int(first.bw_bits)) == bits

    def test_a_run_without_an_end_is_refused(self, tmp_path) -> None:
        from lightning.pytorch import Trainer
        from lightning.pytorch.demos.boring_classes import BoringModel

        from cpt.model.callbacks.lightning import PrecisionCallback

        module = quantize_(BoringModel())
        callback = PrecisionCallback(functools.partial(cyclic, "epoch"))
        trainer = Trainer(max_epochs=-1, callbacks=[callback], logger=False, enable_checkpointing=False)
        with pytest.raises(ValueError, match="has -1 steps of unit 'epoch'"):
            trainer.fit(module)


class TestHuggingFace:
    """`cpt.model.callbacks.hugging_face` in `transformers.Trainer`."""

    @pytest.fixture(autouse=True)
    def _library(self) -> None:
        pytest.importorskip("transformers")
        pytest.importorskip("accelerate")

    @staticmethod
    def run(folder: Path, unit: str, *, resumed: Path | None = None, **options):
        """A model after a run, what it has seen, the callback."""
        from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

        from cpt.model.callbacks.hugging_face import PrecisionCallback

        torch.manual_seed(3)
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        model = BertForSequenceClassification(BertConfig(vocab_size=32, **sizes, num_labels=3))
        quantize_(model, QuantConfig(seed=5))
        seen = Seen(model)
        generator = torch.Generator().manual_seed(0)
        rows = [
            {"input_ids": torch.randint(0, 32, (8,), generator=generator), "labels": number % 3}
            for number in range(SAMPLES)
        ]
        arguments = TrainingArguments(
            output_dir=str(folder),
            num_train_epochs=EPOCHS,
            per_device_train_batch_size=BATCH,
            gradient_accumulation_steps=ACCUMULATED,
            learning_rate=0.01,
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            seed=7,
            **options,
        )
        callback = PrecisionCallback(functools.partial(cyclic, unit), unit)
        trainer = Trainer(model, arguments, train_dataset=rows, eval_dataset=rows, callbacks=[callback])
        trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
        return model, seen, callback

    @pytest.mark.parametrize("unit", ["epoch", "iteration"])
    @pytest.mark.parametrize(
        ("options", "name"),
        [
            ({"save_strategy": "steps", "save_steps": 4}, "checkpoint-8"),
            ({"save_strategy": "epoch", "eval_strategy": "epoch"}, f"checkpoint-{2 * ITERATIONS}"),
        ],
        ids=["in an epoch", "behind an epoch"],
    )
    def test_a_resumed_run_ends_as_one_that_was_not_stopped(self, tmp_path, unit, options, name) -> None:
        model, seen, whole = self.run(tmp_path / "whole", unit, **options)
        assert seen.training == expected(unit)
        again, later, resumed = self.run(
            tmp_path / "again", unit, resumed=tmp_path / "whole" / name, **options
        )
        assert later.training == expected(unit)[-len(later.training) :]
        assert 0 < len(later.training) < len(seen.training)
        same(model, again)
        assert whole.scheduler.last_step == resumed.scheduler.last_step

    def test_a_pretrained_language_model_is_fine_tuned_from_a_folder_in_two_cycles(self, tmp_path) -> None:
        """Better than the same steps from first weights; saved again it loads as any other."""
        from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

        from cpt.model.callbacks.hugging_face import PrecisionCallback

        def phrases(step: int) -> list[dict[str, torch.Tensor]]:
            """Tokens that go up by ``step`` of 16."""
            rows = (torch.arange(64)[:, None] + step * torch.arange(16)) % 16
            return [{"input_ids": row, "labels": row} for row in rows]

        def trainer(model: nn.Module, step: int, epochs: int, rate: float, *callbacks) -> Trainer:
            arguments = TrainingArguments(
                str(tmp_path / "out"),
                num_train_epochs=epochs,
                per_device_train_batch_size=16,
                learning_rate=rate,
                report_to=[],
                disable_tqdm=True,
                use_cpu=True,
                save_strategy="no",
                seed=1,
            )
            rows = phrases(step)
            return Trainer(model, arguments, train_dataset=rows, eval_dataset=rows, callbacks=list(callbacks))

        torch.manual_seed(0)
        sizes = {"vocab_size": 16, "n_positions": 16, "n_embd": 32, "n_layer": 2, "n_head": 2}
        new = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0))
        new.save_pretrained(tmp_path / "new")
        trainer(new, 1, 20, 1e-2).train()
        new.save_pretrained(tmp_path / "pretrained")

        losses = []
        for name in ("new", "pretrained"):
            model = AutoModelForCausalLM.from_pretrained(tmp_path / name, local_files_only=True)
            quantize_(model, {"lm_head": None, "*": QuantConfig(seed=5)})
            assert len(precisions(model)) == 8
            assert model.lm_head.weight is model.transformer.wte.weight
            seen = Seen(model)
            callback = PrecisionCallback(functools.partial(cyclic, "iteration"), "iteration")
            tuning = trainer(model, 3, 6, 3e-3, callback)
            tuning.train()
            bits = [fw for fw, _ in seen.training]
            assert bits[:12] == bits[12:] == sorted(bits[:12])
            assert (bits[0], bits[11]) == (3, 8)
            with precision(model, fw=8):
                losses.append(tuning.evaluate()["eval_loss"])
        assert losses[1] < losses[0]
        dequantize_(model).save_pretrained(tmp_path / "tuned")
        again = AutoModelForCausalLM.from_pretrained(tmp_path / "tuned", local_files_only=True)
        same(model, again)
