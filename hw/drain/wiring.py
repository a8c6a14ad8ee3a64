"""The way of products in a whole machine, whoever drains them."""


def wire_results(m, chip, executor, drain) -> None:
    """Steps of ``executor`` to the array, captured tiles to the result buffer, complete ones to ``drain``.

    ``chip`` has ``array``, ``collector``, ``results``; operands are not wired here.
    """
    array, collector, results = chip.array, chip.collector, chip.results
    m.d.comb += [
        array.valid.eq(executor.valid),
        array.step.eq(executor.step),
        collector.captured.eq(array.captured),
        collector.collect.eq(array.collect),
        array.row_index.eq(collector.row_index),
        collector.row.eq(array.row),
        results.write_en.eq(collector.write_en),
        results.write_addr.eq(collector.write_addr),
        results.write_row.eq(collector.write_row),
        executor.collected.eq(collector.done),
        executor.tile_free.eq(drain.tile_free),
        drain.complete.eq(collector.complete),
        results.drain_addr.eq(drain.drain_addr),
        drain.drain_row.eq(results.drain_row),
    ]
    if collector.adds:
        m.d.comb += [results.old_addr.eq(collector.old_addr), collector.old_row.eq(results.old_row)]
