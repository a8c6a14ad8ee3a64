"""Figures of training runs, and the command that draws them."""

import json

import pytest

from cpt.main import main
from cpt.model.figures.canvas import add_legend, colour, line, marker, new_figure, save
from cpt.model.figures.cost import draw_cost
from cpt.model.figures.history import find_histories, repeats
from cpt.model.figures.layers import draw_layer_map
from cpt.model.figures.planned import planned
from cpt.model.figures.schedule import draw_schedule
from cpt.model.figures.sweep import draw_sweep
from cpt.model.training import TorchConfig

ACCELERATOR = {"simulated_seconds": 4.0, "array": {"name": "tiny"}, "clock_mhz": 200, "memory_model": "ideal"}
EPOCHS = 4


def write_run(folder, fw=(3, 3, 8, 8), accuracy=0.9, extra=None, **config):
    """A finished run as the trainers leave it."""
    folder.mkdir(parents=True)
    settings = TorchConfig(epochs=EPOCHS, **config)
    rows = [
        {
            "epoch": epoch,
            "fw": bits,
            "bw": 8,
            "accuracy": accuracy * (epoch + 1) / EPOCHS,
            "epoch_seconds": bits / 8,
        }
        for epoch, bits in enumerate(fw)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = {
        "config": settings.as_dict(),
        "dataset": "dots",
        "gbitops": sum(fw),
        "steps": 8,
        **(extra or {}),
    }
    (folder / "summary.json").write_text(json.dumps(summary, sort_keys=True))


def write_runs(root):
    for seed in range(3):
        write_run(root / f"a{seed}", accuracy=0.9 + 0.01 * seed, cycles=2, seed=seed)
        write_run(root / f"b{seed}", accuracy=0.8, cycles=4, seed=seed)
        write_run(root / f"a{seed}" / "static", fw=(8,) * EPOCHS, method="static", seed=seed)
    learned = {"layers": ["z", "a"], "bits_history": [[8, 8], [8, 4], [7, 3], [7, 3]]}
    write_run(root / "ldp", extra=learned, method="ldp")


def test_runs_of_other_schedules_are_no_repetitions(tmp_path):
    for name, settings in (
        ("a", {}),
        ("b", {"shape": "up_down"}),
        ("c", {"delay": 2}),
        ("d", {"per": "iteration"}),
        ("e", {"method": "static"}),
        ("f", {"seed": 1}),
        ("g", {"method": "pfq", "pfq_fw": (4, 8), "pfq_bw": (6, 6)}),
    ):
        write_run(tmp_path / name, **settings)
    assert [(label, len(group)) for label, group in repeats(find_histories([tmp_path])).items()] == [
        ("CPT FW(3,8)/BW8", 2),
        ("CPT FW(3,8)/BW8 up down", 1),
        ("CPT FW(3,8)/BW8 from 2 on", 1),
        ("CPT FW(3,8)/BW8 per iteration", 1),
        ("FW8/BW8", 1),
        ("PFQ FW(4,8)/BW6", 1),
    ]


def test_many_methods_look_different_and_leave_the_panel_its_height():
    assert len({(colour(index), marker(index)) for index in range(20)}) == 20
    assert len({(colour(index), line(index)) for index in range(20)}) == 20
    heights = []
    for count in (2, 20):
        figure, (axes,) = new_figure()
        for index in range(count):
            axes.plot([0, index], label=f"method {index}")
        add_legend(figure)
        figure.draw_without_rendering()
        heights.append(axes.get_window_extent().height)
    assert heights[1] > 0.9 * heights[0]


def test_report_draws_every_figure_that_the_runs_give(capsys, tmp_path):
    write_runs(tmp_path / "runs")
    words = ("report", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--format", "svg", "--json")
    assert main(words) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["runs"] == 10
    kinds = {figure["kind"] for figure in result["figures"]}
    assert {"progress", "cost", "spread", "sweep", "schedule CPT FW(3,8)/BW8, N = 2"} <= kinds
    assert {"layers LDP FW(3,8)/BW8", "map LDP FW(3,8)/BW8"} <= kinds
    assert "latency" not in kinds
    index = (tmp_path / "out" / "report.md").read_text()
    for figure in result["figures"]:
        name = figure["path"].rpartition("/")[2]
        assert f"]({name})" in index
        assert (tmp_path / "out" / name).read_text().lstrip().startswith("<?xml")
    assert "| CPT FW(3,8)/BW8, N = 2 | 3 | 91.00 | 22 |" in index


def test_runs_of_the_accelerator_show_their_time_and_stay_apart(capsys, tmp_path):
    write_run(tmp_path / "torch")
    write_run(tmp_path / "fpga", extra=ACCELERATOR)
    assert main(("report", str(tmp_path), "--out", str(tmp_path / "out"), "--json")) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert [f["experiment"] for f in figures if f["kind"] == "latency"] == [
        "resnet8, width 16, dots (accelerator)"
    ]
    assert {f["experiment"] for f in figures if f["kind"] == "cost"} == {
        "resnet8, width 16, dots (accelerator)",
        "resnet8, width 16, dots (torch)",
    }


def test_repeated_runs_are_those_that_differ_in_seed_alone(tmp_path):
    write_runs(tmp_path)
    groups = repeats(find_histories([tmp_path]))
    assert {label: len(group) for label, group in groups.items()} == {
        "CPT FW(3,8)/BW8, N = 2": 3,
        "CPT FW(3,8)/BW8, N = 4": 3,
        "FW8/BW8": 3,
        "LDP FW(3,8)/BW8": 1,
    }


def test_schedule_per_iteration_is_recomputed_and_per_epoch_is_as_recorded(tmp_path):
    write_run(tmp_path / "iteration", per="iteration", cycles=2)
    write_run(tmp_path / "epoch", cycles=2)
    epoch, iteration = find_histories([tmp_path])
    assert planned(iteration) == (
        [(3, 8), (4, 8), (6, 8), (7, 8), (3, 8), (4, 8), (6, 8), (8, 8)],
        "iteration",
    )
    assert planned(epoch) == ([(3, 8), (3, 8), (8, 8), (8, 8)], "epoch")


def test_the_map_of_layers_keeps_their_order_and_bits(tmp_path):
    write_runs(tmp_path)
    (run,) = find_histories([tmp_path / "ldp"])
    assert run.layer_bits() == {"z": [8, 8, 7, 7], "a": [8, 4, 3, 3]}
    figure = draw_layer_map(run.layer_bits())
    axes, bar = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["z", "a"]
    assert axes.yaxis_inverted()
    assert axes.collections[0].get_array().tolist() == [[8, 8, 7, 7], [8, 4, 3, 3]]
    assert bar.get_ylabel() == "precision (bits)"


def test_bits_are_drawn_as_steps_with_ticks_at_whole_bits():
    figure = draw_schedule([(3, 8), (5, 8), (8, 8)], "epoch")
    (axes,) = figure.axes
    drawn = axes.patches[1].get_data()
    assert drawn.values.tolist() == [3, 5, 8]
    assert drawn.edges.tolist() == [0, 1, 2, 3]
    assert all(tick == int(tick) for tick in axes.get_yticks())
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "precision (bits)")


def test_equal_figures_give_equal_files(tmp_path):
    for kind in ("png", "svg"):
        first, second = (save(new_figure()[0], tmp_path / f"{n}.{kind}").read_bytes() for n in "ab")
        assert first == second


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda folder: (folder / "summary.json").write_text("{}"),
            "summary.json lacks or misspells 'config'",
        ),
        (lambda folder: (folder / "metrics.jsonl").write_text("{"), "metrics.jsonl holds no JSON"),
        (lambda folder: (folder / "metrics.jsonl").unlink(), "allowed: folders that hold summary.json and"),
    ],
)
def test_a_run_that_cannot_be_read_is_one_line(capsys, tmp_path, change, message):
    write_run(tmp_path / "run")
    change(tmp_path / "run")
    assert main(("report", str(tmp_path), "--out", str(tmp_path / "out"))) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_an_unknown_format_is_one_line(capsys, tmp_path):
    assert main(("report", str(tmp_path), "--format", "gif")) == 2
    assert capsys.readouterr().err == "cpt report: format is 'gif'; allowed: png, svg, pdf\n"


def test_runs_that_differ_in_anything_but_the_seed_are_no_repetitions(tmp_path, capsys):
    for name, settings in (
        ("a", {"seed": 0}),
        ("b", {"seed": 1}),
        ("c", {"lr": 0.5}),
        ("d", {"batch_size": 7}),
        ("e", {"seed": 1}),
        ("s", {"method": "static", "cycles": 1}),
        ("t", {"method": "static", "cycles": 2, "seed": 1}),
    ):
        write_run(tmp_path / name, **settings)
    groups = {
        label: [run.folder.name for run in group]
        for label, group in repeats(find_histories([tmp_path])).items()
    }
    common = f"lr {TorchConfig().lr}, batch {TorchConfig().batch_size}"
    first = next(iter(groups))
    assert groups[first] == ["a", "b"]
    assert list(groups.values()) == [["a", "b"], ["c"], ["d"], ["s", "t"]]
    assert all(word in first for word in common.split(", "))
    assert any("lr 0.5" in label for label in groups)
    assert any("batch 7" in label for label in groups)
    assert main(("report", str(tmp_path), "--out", str(tmp_path / "out"), "--json")) == 0
    assert f"left out of means: {tmp_path / 'e'}" in " ".join(capsys.readouterr().err.split())


def test_two_test_images_do_not_fill_the_height_of_the_cost_figure(tmp_path):
    write_run(tmp_path / "a", accuracy=0.9806)
    write_run(tmp_path / "b", accuracy=0.9833, method="static")
    (axes,) = draw_cost(find_histories([tmp_path])).axes
    low, high = axes.get_ylim()
    assert high - low >= 5
    assert low < 98.06 < 98.33 < high


def test_the_sweep_means_only_runs_that_differ_in_seed_and_cycles(tmp_path):
    for cycles in (2, 4):
        for lr in (0.1, 0.2):
            write_run(tmp_path / f"{cycles}-{lr}", accuracy=0.5 + lr, cycles=cycles, lr=lr)
    (axes,) = draw_sweep(find_histories([tmp_path])).axes
    lines = [line for line in axes.get_lines() if len(line.get_xdata()) == 2]
    assert sorted(line.get_label() for line in lines) == [
        "CPT FW(3,8)/BW8, lr 0.1",
        "CPT FW(3,8)/BW8, lr 0.2",
    ]
    assert [list(line.get_ydata()) for line in lines] == [pytest.approx([60, 60]), pytest.approx([70, 70])]
