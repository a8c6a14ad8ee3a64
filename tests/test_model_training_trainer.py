"""The torch trainer: every task and method trains, evaluates at stated bits, counts work, guards NaN."""

import json
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch_runs import GRAPH, LANGUAGE, LSTM, PICTURES, SMALL, graph, images, language, pictures

from cpt.model.adaptive import RULES
from cpt.model.data import DataError
from cpt.model.layer_precisions import precisions
from cpt.model.training import TorchConfig, TorchRun, TorchTrainer, TrainingDiverged, open_task
from cpt.model.training.config import METHODS
from cpt.model.training.distributed import Processes, join
from cpt.model.training.learning_rate import LearningRate
from cpt.model.training.state import weights_sha256
from cpt.model.training.tasks import psnr

pytestmark = pytest.mark.usefixtures("one_thread")

TASKS = {
    "images": (SMALL, images),
    "transformer": (LANGUAGE, language),
    "lstm": (LSTM, lambda: language(carries=True)),
    "pictures": (PICTURES, pictures),
    "graph": (GRAPH, graph),
}


def train(config, task, folder):
    run = TorchRun("run", TorchTrainer(config, task), folder)
    run.start()
    return run.train(), run


@pytest.mark.parametrize("kind", TASKS)
def test_every_task_learns(kind, tmp_path):
    config, make = TASKS[kind]
    task = make()
    trainer = TorchTrainer(replace(config, epochs=6, lr_schedule="constant"), task)
    losses = [trainer.train_epoch()["train_loss"] for _ in range(6)]
    assert losses[-1] < losses[0], losses
    figures = trainer.evaluate()
    assert task.metric in figures
    assert all(math.isfinite(value) for value in figures.values())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", TASKS)
def test_every_method_trains_on_every_task(kind, method, tmp_path):
    config, make = TASKS[kind]
    summary, run = train(replace(config, method=method, steps=3, epochs=1), make(), tmp_path)
    assert summary["steps"] == 3
    assert summary["gbitops"] > 0
    assert len(summary["weights_sha256"]) == 64
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows == run.rows
    by_layer = method == "ldp" or method in RULES
    expected = {"fp32": 0, "pfq": 8}.get(method, "learned" if by_layer else config.fw[1])
    assert summary["eval_bits"] == rows[-1]["eval_bits"] == expected
    assert ("layer_bits" in summary) == by_layer


@pytest.mark.parametrize("model", ["mobilenetv2", "resnet14", "resnet18", "resnet50", "vit", "deit-tiny"])
def test_every_image_network_takes_a_step_in_every_method(model):
    """Those for large images on 64 x 64 pixels, the smallest that count as large."""
    large = model in ("resnet18", "resnet50", "deit-tiny")
    task = images(16, side=64 if large else 16, channels=3)
    for method in METHODS:
        config = replace(SMALL, model=model, width=8, method=method, batch_size=2, steps=1, lr=0.01)
        before = TorchTrainer(config, task)
        initial = weights_sha256(before.model)
        assert math.isfinite(before.train_epoch()["train_loss"])
        assert weights_sha256(before.model) != initial
        assert before.work.gbitops > 0


@pytest.mark.parametrize("quantiser", ["dorefa", "wageubn"])
def test_the_other_quantisers_train(quantiser, tmp_path):
    summary, _ = train(replace(SMALL, quantiser=quantiser), images(), tmp_path)
    assert math.isfinite(summary["loss"])


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path):
    found = [
        train(replace(SMALL, seed=seed, epochs=1), images(pad=1, flip=True), tmp_path / name)[0][
            "weights_sha256"
        ]
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    ]
    assert found[0] == found[1] != found[2]


def test_precision_follows_the_plan_and_ends_at_the_upper_bound():
    trainer = TorchTrainer(replace(SMALL, steps=8, cycles=2), images())
    seen = []
    while not trainer.finished:
        trainer.train_epoch(lambda report: seen.append((report.fw, report.bw)))
    assert [fw for fw, _ in seen] == [3, 4, 6, 7, 3, 4, 6, 8]
    assert {bw for _, bw in seen} == {8}


def test_gradients_may_cycle_too():
    trainer = TorchTrainer(replace(SMALL, steps=4, cycles=1, bw=(4, 8)), images())
    seen = []
    while not trainer.finished:
        trainer.train_epoch(lambda report: seen.append(report.bw))
    assert seen[0] == 4
    assert seen[-1] == 8


def test_evaluation_is_at_the_stated_bits_and_leaves_the_training_bits():
    trainer = TorchTrainer(replace(SMALL, eval_bits=5), images())
    seen = set()
    item = next(iter(precisions(trainer.model).values()))
    handle = trainer.model.register_forward_hook(
        lambda model, *_: seen.add((item.get_bits()[0], model.training))
    )
    trainer.train_epoch()
    before = item.get_bits()
    trainer.evaluate()
    handle.remove()
    assert seen == {(3, True), (5, False)}
    assert item.get_bits() == before


def test_work_is_counted_as_the_papers_do(tmp_path):
    """MACs of all layers + 2 per batch-norm element, times fw**2 + 2*fw*bw, over the images trained on."""
    from cpt.model.architecture import cifar_resnet
    from cpt.model.bitops import counted_macs

    macs = counted_macs(cifar_resnet(8, 4, 8, 1, 4).layers)
    static, _ = train(
        replace(SMALL, method="static", fw=(6, 6), bw=(8, 8), steps=3), images(), tmp_path / "static"
    )
    assert static["gbitops"] == pytest.approx(macs * (36 + 2 * 48) * 3 * 8 / 1e9, rel=1e-12)
    full, _ = train(replace(SMALL, method="fp32", steps=3), images(), tmp_path / "full")
    assert full["gbitops"] == pytest.approx(macs * 3 * 1024 * 3 * 8 / 1e9, rel=1e-12)


def test_ldp_spends_less_once_its_bits_fall(tmp_path):
    config = replace(SMALL, method="ldp", epochs=8, lr_schedule="constant", ldp_lr=5.0)
    summary, run = train(config, images(), tmp_path)
    assert min(summary["layer_bits"].values()) < 8
    assert len(summary["bits_history"]) == 8
    steps = [
        after["gbitops"] - before["gbitops"] for before, after in zip(run.rows, run.rows[1:], strict=False)
    ]
    assert steps[-1] < steps[0]
    assert run.rows[-1]["fw_mean"] < 8


def test_averaged_weights_are_the_mean_and_the_model_stays(tmp_path):
    trainer = TorchTrainer(replace(SMALL, swa_start=0.4, epochs=3), images())
    seen = []
    for _ in range(3):
        trainer.train_epoch()
        seen.append({name: p.detach().clone() for name, p in trainer.model.named_parameters()})
    assert trainer.average.count == 2
    for name, mean in trainer.average.mean.items():
        torch.testing.assert_close(mean, (seen[1][name] + seen[2][name]) / 2)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    figures = trainer.evaluate_average()
    assert figures["loss"] != trainer.evaluate()["loss"]
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_state_carried_on_changes_what_an_lstm_predicts():
    trainer = TorchTrainer(LSTM, language(carries=True))
    seen = []
    trainer.train_epoch(lambda report: seen.append(trainer.carried))
    inner = seen[0]
    assert [tuple(part.shape) for part in inner] == [(2, 8, 8)] * 2
    assert not any(part.requires_grad for part in inner)
    assert trainer.carried is None  # a new epoch begins anew


def poison(trainer, name, value):
    with torch.no_grad():
        trainer.model.get_parameter(name)[0, 0] = value


def test_the_nan_guard_names_layer_and_precision_and_updates_nothing():
    trainer = TorchTrainer(replace(SMALL, steps=4), images())
    poison(trainer, "blocks.1.0.conv.weight", math.nan)
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    message = r"loss is nan at step 0: weight of blocks\.1\.0\.conv at FW3/BW8 is not finite; allowed:"
    with pytest.raises(TrainingDiverged, match=message):
        trainer.train_epoch()
    assert trainer.step == 0
    for name, parameter in trainer.model.named_parameters():
        assert torch.equal(parameter.nan_to_num(), before[name].nan_to_num())


def test_the_nan_guard_finds_an_input_that_overflows():
    trainer = TorchTrainer(replace(SMALL, method="static", steps=4), images())
    trainer.model.blocks[1].register_forward_pre_hook(lambda module, inputs: (inputs[0] * 1e39,))
    with pytest.raises(
        TrainingDiverged, match=r"loss is nan at step 0: input of layer blocks\.1\.0\.conv ranges from nan to"
    ):
        trainer.train_epoch()


def test_the_nan_guard_names_a_gradient():
    trainer = TorchTrainer(replace(SMALL, method="fp32", steps=4), images())
    trainer.model.stem.conv.weight.register_hook(lambda grad: grad * math.inf)
    message = r"gradient norm is (nan|inf) at step 0: the gradient of weight of stem\.conv \(full precision\)"
    with pytest.raises(TrainingDiverged, match=message):
        trainer.train_epoch()


def test_learning_rates_follow_their_schedules():
    def rates(schedule, **more):
        return [LearningRate(schedule, 1.0, 8, **more).at(step) for step in range(8)]

    assert rates("step") == [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]
    assert rates("constant", warmup_steps=4) == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    assert rates("step", drop_steps=3) == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01])
    cosine, cyclic = rates("cosine"), rates("cyclic", cycles=2)
    assert cosine == pytest.approx([0.5 * (1 + math.cos(math.pi * step / 8)) for step in range(8)])
    assert rates("step", drops=(2, 6), drop_ratio=0.5) == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert rates("constant", warmup_steps=2, warmup_rate=0.01) == [0.01, 0.01, 1, 1, 1, 1, 1, 1]
    assert rates("linear")[:5] == [1] * 5
    assert rates("linear")[5:] == pytest.approx(
        [1 - 0.99 * (share - 0.5) / 0.4 for share in (0.625, 0.75, 0.875)]
    )
    assert rates("anneal_cosine") == pytest.approx([0.01 + 0.99 * value for value in rates("cosine")])
    assert cyclic[:4] == cyclic[4:] == pytest.approx(cosine[::2])


def test_psnr_is_that_of_the_brightness_inside_the_border():
    wanted = torch.full((1, 3, 12, 12), 0.5)
    found = wanted.clone()
    found[..., :2, :] = 0  # inside the border: not counted
    found[..., 5, 5] += 51 / 255
    # halves are not multiples of 1/255: rounding leaves 0.5/255 everywhere else
    brightness = (65.481 + 128.553 + 24.966) / 255
    error = (0.5 / 255) ** 2 * 63 + (51.5 / 255 if round(127.5 + 51) == 179 else 50.5 / 255) ** 2
    expected = -10 * math.log10(error / 64 * brightness**2)
    assert psnr(found, wanted, 2).item() == pytest.approx(expected, abs=0.1)


def test_loading_ahead_changes_nothing(tmp_path):
    found = []
    for workers in (0, 3):
        trainer = TorchTrainer(SMALL, images(pad=1), workers=workers)
        trainer.train_epoch()
        found.append((trainer.state()[0], trainer.evaluate()))
    assert found[0][1] == found[1][1]
    for name, array in found[0][0].items():
        np.testing.assert_array_equal(array, found[1][0][name])


def test_compiled_steps_train_like_plain_ones(monkeypatch):
    """Traced and split into forward and backward; the code made from that is tests.test_model_quantize's."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))

    def losses(compiled):
        config = replace(LANGUAGE, steps=3, micro_batch=4)
        trainer = TorchTrainer(config, language(), compiled=compiled)
        assert (trainer.network is not trainer.model) == compiled
        found = []
        trainer.train_epoch(lambda report: found.append(report.loss))
        return [*found, trainer.evaluate()["loss"]]

    assert losses(True) == pytest.approx(losses(False), rel=1e-4)


def test_compiled_steps_are_for_one_process():
    with pytest.raises(ValueError, match="compile is given with 2 processes; allowed: 1 process"):
        TorchTrainer(SMALL, images(), Processes(torch.device("cpu"), 0, 2), compiled=True)


@pytest.mark.parametrize("kind", TASKS)
def test_bfloat16_leaves_quantised_layers_in_float32(kind):
    config, make = TASKS[kind]
    trainer = TorchTrainer(replace(config, amp="bf16"), make())
    kinds = {}
    for name, module in trainer.model.named_modules():
        module.register_forward_hook(lambda module, inputs, output, name=name: kinds.update({name: output}))
    assert math.isfinite(trainer.train_epoch()["train_loss"])
    for name in precisions(trainer.model):
        output = kinds[name.removesuffix(".precision").partition(".precision_")[0]]
        assert (output[0] if isinstance(output, tuple) else output).dtype == torch.float32, name


def test_bfloat16_is_off_unless_asked_for():
    """Mixed precision computes where layers are in full precision."""
    assert TorchConfig().amp == "off"
    trainer = TorchTrainer(replace(SMALL, method="fp32", amp="bf16"), images())
    kinds = set()
    trainer.model.stem.conv.register_forward_hook(lambda module, inputs, output: kinds.add(output.dtype))
    assert math.isfinite(trainer.train_epoch()["train_loss"])
    assert kinds == {torch.bfloat16}


WRONG = [
    ({"model": "lenet"}, "model is 'lenet'; allowed: resnetD"),
    ({"batch_size": 64}, r"batch-size is 64; allowed: 1\.\.36"),
    ({"method": "magic"}, "method is 'magic'; allowed: cpt, static"),
    ({"fw": (0, 8)}, r"fw is 0; allowed: 1\.\.16"),
    ({"fw": (8, 3)}, "fw is 8 3; allowed: the lower bound first"),
    ({"method": "ldp", "fw": (8, 8)}, "fw is .*; allowed: two different bounds for ldp"),
    ({"lr": math.nan}, r"lr is nan; allowed: 0\.\.100"),
    ({"lr_schedule": "poly"}, "lr-schedule is 'poly'; allowed: step, cosine"),
    ({"delay": 5}, r"delay is 5; allowed: below the length of the run \(2\)"),
    (
        {"quantiser": "wageubn", "optimiser": "adam"},
        "optimiser is 'adam'; allowed: sgd with quantiser wageubn",
    ),
    ({"method": "pfq", "pfq_fw": (3, 8)}, "stages are 2 of fw and 4 of bw"),
    ({"quantiser": "lsq"}, "quantiser is 'lsq'; allowed: cyclebnn, dorefa, "),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[str(change) for change, _ in WRONG])
def test_wrong_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        TorchTrainer(replace(SMALL, **change), images())


def test_unknown_data_and_devices_are_named():
    with pytest.raises(DataError, match="data is 'mnist'; allowed: cifar10"):
        open_task("mnist", None, SMALL)
    with pytest.raises(DataError, match="data is 'cifar10' without --data-dir"):
        open_task("cifar10", None, SMALL)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device is 'cuda', and no GPU was found"):
            join("cuda")
