"""AXI port signatures, seen from the master, and the wires that never change."""

from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.contract.regs import ADDRESS_BITS
from cpt.hw.layouts import ADDRESS, BEAT_BITS, READ_BEAT, WRITE_BEAT

READ_STREAMS = {"ar": Out(stream.Signature(ADDRESS)), "r": In(stream.Signature(READ_BEAT))}
"""Members of a component that reads; `connect_read` makes a port of them."""
WRITE_STREAMS = {
    "aw": Out(stream.Signature(ADDRESS)),
    "w": Out(stream.Signature(WRITE_BEAT)),
    "b": In(stream.Signature(2)),
}
"""Members of a component that writes, ``b`` with the response code; `connect_write` makes a port of them."""
MASTER_STATE = {"stop": In(1), "error": Out(1), "idle": Out(1, init=1), "quiet": Out(1)}
"""Further members of either. ``stop``: issue nothing new; ``error``: a response was an error; ``idle``:
nothing is held or in flight; ``quiet``: nothing is in flight."""

SIZE_8_BYTES = BEAT_BYTES.bit_length() - 1
BURST_INCR = 1
CACHE_BUFFERABLE = 0b0011
"""Normal, not cached, bufferable; what the Zynq HP ports expect."""

_ADDRESS = {
    "addr": 32, "len": 8, "size": 3, "burst": 2, "lock": 1, "cache": 4, "prot": 3, "id": 1, "valid": 1,
}  # fmt: skip


def _address_channel(prefix: str) -> dict:
    return {**{f"{prefix}{name}": Out(width) for name, width in _ADDRESS.items()}, f"{prefix}ready": In(1)}


AXI_READ = wiring.Signature(
    {
        **_address_channel("ar"),
        "rdata": In(BEAT_BITS),
        "rresp": In(2),
        "rlast": In(1),
        "rid": In(1),
        "rvalid": In(1),
        "rready": Out(1),
    }
)
"""Read half of an AXI4 port, 64 bits wide."""

AXI_WRITE = wiring.Signature(
    {
        **_address_channel("aw"),
        "wdata": Out(BEAT_BITS),
        "wstrb": Out(BEAT_BYTES),
        "wlast": Out(1),
        "wvalid": Out(1),
        "wready": In(1),
        "bresp": In(2),
        "bid": In(1),
        "bvalid": In(1),
        "bready": Out(1),
    }
)
"""Write half of an AXI4 port, 64 bits wide."""

AXI_LITE = wiring.Signature(
    {
        "awaddr": Out(ADDRESS_BITS),
        "awprot": Out(3),
        "awvalid": Out(1),
        "awready": In(1),
        "wdata": Out(32),
        "wstrb": Out(4),
        "wvalid": Out(1),
        "wready": In(1),
        "bresp": In(2),
        "bvalid": In(1),
        "bready": Out(1),
        "araddr": Out(ADDRESS_BITS),
        "arprot": Out(3),
        "arvalid": Out(1),
        "arready": In(1),
        "rdata": In(32),
        "rresp": In(2),
        "rvalid": In(1),
        "rready": Out(1),
    }
)
"""AXI4-Lite, 32 bits wide."""


def _connect_address(m, port, prefix: str, addresses) -> None:
    m.d.comb += [
        port[f"{prefix}addr"].eq(addresses.payload.addr),
        port[f"{prefix}len"].eq(addresses.payload.len),
        port[f"{prefix}size"].eq(SIZE_8_BYTES),
        port[f"{prefix}burst"].eq(BURST_INCR),
        port[f"{prefix}lock"].eq(0),
        port[f"{prefix}cache"].eq(CACHE_BUFFERABLE),
        port[f"{prefix}prot"].eq(0),
        port[f"{prefix}id"].eq(0),
        port[f"{prefix}valid"].eq(addresses.valid),
        addresses.ready.eq(port[f"{prefix}ready"]),
    ]


def connect_read(m, port, ar, r) -> None:
    """Wire an AXI read port to the streams ``ar`` (from the master) and ``r`` (to it)."""
    members = {name: getattr(port, name) for name in AXI_READ.members}
    _connect_address(m, members, "ar", ar)
    m.d.comb += [
        r.payload.data.eq(port.rdata),
        r.payload.resp.eq(port.rresp),
        r.payload.last.eq(port.rlast),
        r.valid.eq(port.rvalid),
        port.rready.eq(r.ready),
    ]


def connect_write(m, port, aw, w, b) -> None:
    """Wire an AXI write port to the streams ``aw``, ``w`` (from the master) and ``b`` (to it)."""
    members = {name: getattr(port, name) for name in AXI_WRITE.members}
    _connect_address(m, members, "aw", aw)
    m.d.comb += [
        port.wdata.eq(w.payload.data),
        port.wstrb.eq((1 << BEAT_BYTES) - 1),
        port.wlast.eq(w.payload.last),
        port.wvalid.eq(w.valid),
        w.ready.eq(port.wready),
        b.payload.eq(port.bresp),
        b.valid.eq(port.bvalid),
        port.bready.eq(b.ready),
    ]
