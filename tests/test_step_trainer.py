"""The host's side of training whole steps: what it touches, in which order, and what a killed run leaves."""

import numpy as np
import pytest

from cpt.host.compiler.memory import GRADIENT, IMAGES, LOGITS, STATIC, Piece
from cpt.host.fabric import PROGRAMS, FabricTrainer
from cpt.hw.contract import ContractError, preset
from cpt.hw.contract.step import WORD_BYTES, Code, decode
from cpt.model.architecture import Conv
from cpt.model.golden.fabric.network import Block, Layer, Network
from cpt.model.golden.fabric.trainer import Settings, Trainer
from cpt.sim.step import rtl
from cpt.sim.step.machine import StepMachine

BATCH, MICRO = 6, 2
SCRATCH = 4 * 1024


def layer(index, name, channels, size, stride=1, kernel=3):
    conv = Conv(name, *channels, kernel, stride, kernel // 2, size, size)
    return Layer(index, name, f"{name}_norm", conv)


def network(seed=1):
    """A stem and a block with stride 2 and a shortcut."""
    blocks = (
        Block("stem", (layer(0, "stem", (1, 4), 8),)),
        Block(
            "block",
            (layer(1, "first", (4, 8), 8, 2), layer(2, "second", (8, 8), 4)),
            layer(3, "shortcut", (4, 8), 8, 2, 1),
        ),
    )
    return Network(blocks, 3, np.full(1, 0.05, np.float32), np.full(1, -0.7, np.float32), seed)


class Recorder(StepMachine):
    """A machine that keeps what the host asks of it; ``eager``: it is done before the host goes on."""

    def __init__(self, eager=False):
        super().__init__(preset("tiny"), memory=1 << 20, scratch_words=SCRATCH)
        self.eager = eager
        self.calls = []

    def write(self, address, values):
        self.calls.append(("write", address, np.asarray(values).nbytes))
        super().write(address, values)

    def read(self, address, size):
        self.calls.append(("read", address, size))
        return super().read(address, size)

    def ring(self, words):
        super().ring(words)
        found = [decode(words[at : at + WORD_BYTES]) for at in range(0, len(words), WORD_BYTES)]
        self.calls += [("run", word.offset, word.count) for word in found if word.code is Code.RUN]
        if self.eager:
            self.wait(found[-1].tag)


def trained(machine, net, seed=5, **options):
    return FabricTrainer(
        machine,
        preset("tiny"),
        net,
        batch_size=BATCH,
        micro_batch=MICRO,
        scratch_words=SCRATCH,
        seed=seed,
        **options,
    )


def drawn(steps, seed=3):
    rng = np.random.default_rng(seed)
    return [
        (rng.integers(0, 40, (BATCH, 8, 8, 1)).astype(np.uint8), rng.integers(0, 3, BATCH))
        for _ in range(steps)
    ]


def golden(net):
    return Trainer(net, Settings(seed=5, batch_size=BATCH, micro_batch=MICRO))


@pytest.mark.parametrize("eager", [False, True])
def test_however_far_the_machine_is_behind_the_host_the_weights_are_the_golden_ones(eager):
    """Not ``eager``: images, logits and gradients of two micro-batches wait in memory at once."""
    other = network()
    reference = golden(other)
    net = network()
    trainer = trained(Recorder(eager), net)
    for images, labels in drawn(2):
        expected = reference.train_step(images, labels, (4, 8), 0.1)
        assert trainer.train_step(images, labels, (4, 8), 0.1) == expected
    trainer.fetch()
    assert net.weights_sha256() == other.weights_sha256()


def test_the_next_forward_pass_is_queued_before_the_host_looks_at_logits():
    machine = Recorder()
    trainer = trained(machine, network())
    machine.calls.clear()
    trainer.train_step(*drawn(1)[0], (4, 8), 0.1)
    names = {decode(word).offset: name for name, word in trainer.calls.items()}
    halves = {trainer._address(Piece(LOGITS, 0, 0), number): number for number in range(2)}
    seen = [
        names[where] if what == "run" else f"logits {halves[where]}"
        for what, where, _ in machine.calls
        if what != "write"
    ]
    assert seen == [
        "first forward",
        *("second forward", "logits 0", "first backward"),
        *("forward", "logits 1", "backward"),
        *("logits 0", "last backward"),
    ]


def test_the_host_touches_images_logits_and_their_gradient_alone():
    machine = Recorder()
    trainer = trained(machine, network())
    machine.calls.clear()
    for images, labels in drawn(2):
        trainer.train_step(images, labels, (4, 8), 0.1)
    layout, classes = trainer.layout, 3
    allowed = {
        "write": [
            *(trainer._address(Piece(base, 0, 0), half) for base in (IMAGES, GRADIENT) for half in range(2)),
            trainer._address(layout.numbers),
        ],
        "read": [trainer._address(Piece(LOGITS, 0, 0), half) for half in range(2)],
    }
    sizes = {layout.images_piece.size, 4 * MICRO * classes, 4}
    touched = [call for call in machine.calls if call[0] != "run"]
    assert all(where in allowed[what] and size in sizes for what, where, size in touched)
    assert {(what, where) for what, where, _ in touched} == {
        (what, where) for what, places in allowed.items() for where in places
    }
    assert len(touched) == 2 * (3 * BATCH // MICRO + 1)


def test_a_checkpoint_reads_parameters_velocities_and_running_statistics_and_nothing_else():
    machine = Recorder()
    trainer = trained(machine, network())
    trainer.train_step(*drawn(1)[0], (4, 8), 0.1)
    machine.calls.clear()
    arrays, counters = trainer.state()
    assert counters == {"step": 1}
    assert {what for what, _, _ in machine.calls} == {"read"}
    assert sum(size for _, _, size in machine.calls) == sum(array.nbytes for array in arrays.values())
    held = {trainer.addresses[PROGRAMS], *(trainer._address(Piece(base, 0, 0)) for base in (IMAGES, LOGITS))}
    first, last = trainer.addresses[STATIC], min(held | {trainer.addresses[1]})
    assert all(first <= where and where + size <= last for _, where, size in machine.calls)


class Killed(Exception):
    """Stands for the end of a process."""


def test_a_killed_run_goes_on_from_its_checkpoint_to_the_same_weights():
    data = drawn(3)
    whole = network()
    trainer = trained(Recorder(), whole)
    for images, labels in data:
        trainer.train_step(images, labels, (4, 8), 0.1)
    expected, _ = trainer.state()

    machine = Recorder()
    trainer = trained(machine, network())
    trainer.train_step(*data[0], (4, 8), 0.1)
    kept, counters = trainer.state()
    left = iter(range(2))

    def wait(tag):
        if next(left, None) is None:
            raise Killed
        StepMachine.wait(machine, tag)

    machine.wait = wait
    with pytest.raises(Killed):
        trainer.train_step(*data[1], (4, 8), 0.1)

    other = network(seed=9)
    resumed = trained(Recorder(), other)
    resumed.load_state(kept, counters)
    reference = golden(network(seed=8))
    reference.load_state(kept, counters)
    for images, labels in data[1:]:
        resumed.train_step(images, labels, (4, 8), 0.1)
        reference.train_step(images, labels, (4, 8), 0.1)
    found, _ = resumed.state()
    assert other.weights_sha256() == whole.weights_sha256() == reference.network.weights_sha256()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, name)
        np.testing.assert_array_equal(reference.state()[0][name], value, name)


def test_evaluation_takes_any_number_of_images():
    images, labels = drawn(1)[0]
    other, net = network(), network()
    reference, trainer = golden(other), trained(Recorder(), net)
    reference.train_step(images, labels, (4, 8), 0.1)
    trainer.train_step(images, labels, (4, 8), 0.1)
    for count in (1, 2, 5):
        found = trainer.evaluate(images[:count], labels[:count], 4)
        assert found == reference.evaluate(images[:count], labels[:count], 4)


def test_codes_may_be_as_wide_as_was_said_and_no_wider():
    images, labels = drawn(1)[0]
    narrow = trained(Recorder(), network())
    for bits in ((9, 8), (8, 9)):
        with pytest.raises(
            ContractError, match=f"bits are {bits[0]} x {bits[1]}; allowed: at most 8, as compil"
        ):
            narrow.train_step(images, labels, bits, 0.1)
    with pytest.raises(ContractError, match="bits are 9 x 9; allowed: at most 8"):
        narrow.evaluate(images, labels, 9)
    other, net = network(), network()
    reference, wide = golden(other), trained(Recorder(), net, widest=13)
    reference.train_step(images, labels, (13, 11), 0.1)
    wide.train_step(images, labels, (13, 11), 0.1)
    wide.fetch()
    assert net.weights_sha256() == other.weights_sha256()


def test_what_does_not_belong_to_the_run_is_refused_in_one_line():
    trainer = trained(Recorder(), network())
    images, labels = drawn(1)[0]
    with pytest.raises(ContractError, match=r"images are 5; allowed: batch-size \(6\)"):
        trainer.train_step(images[:5], labels[:5], (4, 8), 0.1)
    arrays, counters = trainer.state()
    with pytest.raises(ContractError, match="state has other arrays; allowed: those of the same network"):
        trainer.load_state({name: array for name, array in arrays.items() if "beta" not in name}, counters)
    with pytest.raises(ContractError, match=r"micro-batch is 4; allowed: a divisor of batch-size \(6\)"):
        FabricTrainer(
            Recorder(), preset("tiny"), network(), batch_size=6, micro_batch=4, scratch_words=SCRATCH
        )
    with pytest.raises(TimeoutError, match="tag 9 was not rung"):
        Recorder().wait(9)


def test_steps_of_drawn_networks_on_the_model_are_the_golden_trainers(capsys):
    assert rtl.main(["--device", "model", "--steps", "2", "--each", "1", "--seed", "4"]) == 0
    assert capsys.readouterr().out.endswith("2 steps: model and golden trainer agree\n")


def test_a_step_that_differs_names_the_array(monkeypatch):
    case = rtl.Case(4, 4, 2, 1, (4, 8), before=0, steps=1, stall=0.0, seed=1)
    train = FabricTrainer.train_step
    monkeypatch.setattr(
        FabricTrainer, "train_step", lambda self, *given: train(self, *given[:-1], given[-1] * 2)
    )
    with pytest.raises(AssertionError, match=r"parameters\."):
        rtl.run_model(case, preset("tiny", "step"))
