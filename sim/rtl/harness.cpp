// The compiled accelerator with its memory and register master, behind a C interface for ctypes.
#include <algorithm>
#include <memory>
#include <vector>

#include "Vcpt.h"
#include "axi_lite.hpp"
#include "memory.hpp"
#include "verilated.h"
#ifdef CPT_ENGINES
#include "Vcpt___024root.h"
#endif

// For each port that writes: m1 does in the machine of whole steps.
#if CPT_CHANNELS > 3
#define CPT_WRITES(X) X(0) X(1)
#else
#define CPT_WRITES(X) X(0)
#endif

namespace cpt {

constexpr unsigned kChannels = CPT_CHANNELS, kWrites = kChannels - 2;

enum EventKind : uint32_t {
    kRegisterWrite = 0,
    kReadBurst = 1,
    kWriteBurst = 2,
    kArrived = 3,
    kTaken = 4,
    kMark = 5,
    kCalled = 6
};

struct Event {
    uint64_t cycle;
    uint32_t kind, port, address, value;
};

constexpr uint64_t kAnswerCycles = 10000;

class Simulation {
  public:
    Simulation(uint8_t* bytes, uint64_t base, uint64_t size, const MemoryModel& model, const Stalls& stalls,
               WriteOrder order)
        : model_(model), dram_{bytes, base, size, {}}, top_(new Vcpt{&context_}),
          m0_("m0 AR", kRead0, model_, dram_, stalls, 0), m1_("m1 AR", kRead1, model_, dram_, stalls, 2),
          writes_{
              {"m0 AW", "m0 W", kWrite0, model_, dram_, stalls, order, 4},
#if CPT_CHANNELS > 3
              {"m1 AW", "m1 W", kWrite1, model_, dram_, stalls, order, 12},
#endif
          },
          host_(stalls, 7) {
        top_->clk = 0;
        reset();
    }

    ~Simulation() {
        // What the design takes with it is looked up by thread, and this one may last have had another design.
        Verilated::threadContextp(&context_);
        top_->final();
    }

    void reset() {
        m0_.reset();
        m1_.reset();
        for (WritePort& port : writes_) port.reset();
        top_->rst = 1;
        for (int i = 0; i < 4; i++) {
            drive_idle();
            top_->clk = 0;
            top_->eval();
            top_->clk = 1;
            top_->eval();
        }
        top_->rst = 0;
    }

    // One clock cycle: drive the inputs, let them settle, sample the transfers, clock.
    void step() {
        const bool arvalid0 = top_->m0_axi_arvalid, arvalid1 = top_->m1_axi_arvalid;
        Writing writing[kWrites];
#define CPT_VALIDS(n) writing[n].awvalid = top_->m##n##_axi_awvalid, writing[n].wvalid = top_->m##n##_axi_wvalid;
        CPT_WRITES(CPT_VALIDS)
#undef CPT_VALIDS
        const bool arready0 = m0_.address_ready(), arready1 = m1_.address_ready();
        for (unsigned n = 0; n < kWrites; n++) writing[n].awready = writes_[n].address_ready();
        share_slots(writing);
        for (WritePort& port : writes_) port.offer_response(cycle_);
        host_.drive();
        drive(arready0, arready1, writing);
        top_->clk = 0;
        top_->eval();
        bool steady = arvalid0 == top_->m0_axi_arvalid && arvalid1 == top_->m1_axi_arvalid;
#define CPT_STEADY(n) \
    steady = steady && writing[n].awvalid == top_->m##n##_axi_awvalid && writing[n].wvalid == top_->m##n##_axi_wvalid;
        CPT_WRITES(CPT_STEADY)
#undef CPT_STEADY
        if (!steady)
            fail("m0/m1: a valid depends on an input of the same cycle at cycle %llu", (unsigned long long)cycle_);
        sample(arvalid0, arready0, arvalid1, arready1, writing);
#ifdef CPT_ENGINES
        if (observing) observe_engines();
#endif
        top_->clk = 1;
        top_->eval();
        cycle_++;
    }

    uint32_t access(bool is_write, uint32_t offset, uint32_t value, uint8_t* response) {
        if (is_write) host_.start_write(offset, value);
        else host_.start_read(offset);
        const uint64_t start = cycle_;
        while (!host_.idle()) {
            if (cycle_ - start > kAnswerCycles)
                fail("s_axil: %s of 0x%03x not answered within %llu cycles", is_write ? "write" : "read", offset,
                     (unsigned long long)kAnswerCycles);
            step();
        }
        if (is_write && tracing) events.push_back(Event{start, kRegisterWrite, 0, offset, value});
        *response = host_.response;
        return host_.data;
    }

    // Polls the register at `offset` until no bit of `busy` or any of `halted` is set; false after max_cycles.
    bool wait(uint64_t max_cycles, uint32_t offset, uint32_t busy, uint32_t halted) {
        const uint64_t end = cycle_ + max_cycles;
        uint8_t response;
        while (true) {
            const uint32_t value = access(false, offset, 0, &response);
            if (!(value & busy) || (value & halted)) return true;
            if (cycle_ >= end) return false;
        }
    }

    uint64_t cycle() const { return cycle_; }
    bool irq() const { return top_->irq; }
    size_t open_bursts() const {
        size_t found = m0_.open() + m1_.open();
        for (const WritePort& port : writes_) found += port.open();
        return found;
    }

    Faults& faults() { return dram_.faults; }

    bool tracing = false, observing = false;
    std::vector<Event> events;

  private:
    // What a write port and its master say in a cycle.
    struct Writing {
        bool awvalid, awready, wvalid, wready;
    };

    // Rule 2; says which write data is taken.
    void share_slots(Writing* writing) {
        const auto before = [this](uint64_t cycle) {
            return static_cast<int64_t>(static_cast<unsigned __int128>(cycle) * model_.slots_num / model_.slots_den);
        };
        int64_t slots = before(cycle_ + 1) - before(cycle_);
        bool wants[kChannels] = {m0_.wants_slot(cycle_), m1_.wants_slot(cycle_)};
        for (unsigned n = 0; n < kWrites; n++) {
            wants[kWrite0 + n] = writes_[n].wants_slot(writing[n].wvalid);
            writing[n].wready = false;
        }
        for (unsigned i = 0, channel = unsigned(cycle_ % kChannels); i < kChannels; i++, channel = (channel + 1) % kChannels) {
            if (!wants[channel] || slots == 0) continue;
            slots--;
            if (channel == kRead0) m0_.grant();
            else if (channel == kRead1) m1_.grant();
            else writing[channel - kWrite0].wready = true;
        }
    }

    void drive_idle() {
        top_->m0_axi_arready = top_->m1_axi_arready = 0;
        top_->m0_axi_rvalid = top_->m1_axi_rvalid = 0;
        top_->m0_axi_rid = top_->m1_axi_rid = 0;
#define CPT_IDLE(n) \
    top_->m##n##_axi_awready = top_->m##n##_axi_wready = top_->m##n##_axi_bvalid = top_->m##n##_axi_bid = 0;
        CPT_WRITES(CPT_IDLE)
#undef CPT_IDLE
        top_->s_axil_awvalid = top_->s_axil_wvalid = top_->s_axil_arvalid = 0;
        top_->s_axil_awprot = top_->s_axil_arprot = 0;
        top_->s_axil_wstrb = 0xF;
    }

    void drive(bool arready0, bool arready1, const Writing* writing) {
        top_->m0_axi_arready = arready0;
        top_->m1_axi_arready = arready1;
        top_->m0_axi_rvalid = m0_.offer.valid;
        top_->m0_axi_rdata = m0_.offer.data;
        top_->m0_axi_rlast = m0_.offer.last;
        top_->m0_axi_rresp = m0_.offer.resp;
        top_->m1_axi_rvalid = m1_.offer.valid;
        top_->m1_axi_rdata = m1_.offer.data;
        top_->m1_axi_rlast = m1_.offer.last;
        top_->m1_axi_rresp = m1_.offer.resp;
#define CPT_DRIVE(n)                                          \
    top_->m##n##_axi_awready = writing[n].awready;            \
    top_->m##n##_axi_wready = writing[n].wready;              \
    top_->m##n##_axi_bvalid = writes_[n].response_valid;      \
    top_->m##n##_axi_bresp = writes_[n].response;
        CPT_WRITES(CPT_DRIVE)
#undef CPT_DRIVE
        top_->s_axil_awvalid = host_.awvalid;
        top_->s_axil_wvalid = host_.wvalid;
        top_->s_axil_arvalid = host_.arvalid;
        top_->s_axil_bready = host_.bready;
        top_->s_axil_rready = host_.rready;
        top_->s_axil_awaddr = top_->s_axil_araddr = host_.address;
        top_->s_axil_wdata = host_.data;
    }

#ifdef CPT_ENGINES
    // What engines do: instructions into their queues and out of them, marks; by the number of the engine.
    void observe_engines() {
        const auto& at = *top_->rootp;
        if (at.cpt_accelerator__DOT__runner__DOT__runs) events.push_back(Event{cycle_, kCalled, 0, 0, 0});
#define CPT_ENGINE(number, name)                                                           \
    observe_engine(number, at.cpt_accelerator__DOT__runner__DOT__queue_##name##__DOT__push, \
                   at.cpt_accelerator__DOT__runner__DOT__queue_##name##__DOT__pop, mark(number))
        CPT_ENGINES(CPT_ENGINE)
#undef CPT_ENGINE
    }

    void observe_engine(unsigned engine, bool arrives, bool taken, uint32_t mark) {
        if (arrives) events.push_back(Event{cycle_, kArrived, engine, 0, 0});
        if (taken) events.push_back(Event{cycle_, kTaken, engine, 0, 0});
        if (mark != marks_[engine]) events.push_back(Event{cycle_, kMark, engine, 0, mark});
        marks_[engine] = mark;
    }

    uint32_t mark(unsigned engine) const {
        const auto& marks = top_->rootp->cpt_accelerator__DOT__marks;
        uint32_t found = 0;
        for (unsigned bit = 0; bit < CPT_MARK_BITS; bit++) {
            const unsigned place = engine * CPT_MARK_BITS + bit;
            found |= (marks.at(place / 32) >> place % 32 & 1u) << bit;
        }
        return found;
    }

    uint32_t marks_[16] = {};
#endif

    void sample(bool arvalid0, bool arready0, bool arvalid1, bool arready1, const Writing* writing) {
        const Address ar0{top_->m0_axi_araddr, top_->m0_axi_arlen, top_->m0_axi_arsize, top_->m0_axi_arburst,
                          top_->m0_axi_arid};
        const Address ar1{top_->m1_axi_araddr, top_->m1_axi_arlen, top_->m1_axi_arsize, top_->m1_axi_arburst,
                          top_->m1_axi_arid};
        const bool read0 = m0_.edge(cycle_, arvalid0, arready0, ar0, top_->m0_axi_rready);
        const bool read1 = m1_.edge(cycle_, arvalid1, arready1, ar1, top_->m1_axi_rready);
        if (tracing) {
            if (read0) events.push_back(Event{cycle_, kReadBurst, 0, ar0.address, ar0.len + 1u});
            if (read1) events.push_back(Event{cycle_, kReadBurst, 1, ar1.address, ar1.len + 1u});
        }
#define CPT_SAMPLE(n)                                                                                          \
    sample_write(n, writing[n],                                                                                \
                 {top_->m##n##_axi_awaddr, top_->m##n##_axi_awlen, top_->m##n##_axi_awsize,                    \
                  top_->m##n##_axi_awburst, top_->m##n##_axi_awid},                                            \
                 {top_->m##n##_axi_wdata, top_->m##n##_axi_wstrb, top_->m##n##_axi_wlast}, top_->m##n##_axi_bready);
        CPT_WRITES(CPT_SAMPLE)
#undef CPT_SAMPLE
        host_.edge(cycle_, top_->s_axil_awready, top_->s_axil_wready, top_->s_axil_bvalid, top_->s_axil_bresp,
                   top_->s_axil_arready, top_->s_axil_rvalid, top_->s_axil_rdata, top_->s_axil_rresp);
    }

    void sample_write(unsigned port, const Writing& says, const Address& aw, const WritePort::Beat& beat, bool bready) {
        const bool accepted =
            writes_[port].edge(cycle_, says.awvalid, says.awready, aw, says.wvalid, says.wready, beat, bready);
        if (tracing && accepted) events.push_back(Event{cycle_, kWriteBurst, port, aw.address, aw.len + 1u});
    }

    MemoryModel model_;
    Dram dram_;
    VerilatedContext context_;
    std::unique_ptr<Vcpt> top_;
    ReadPort m0_, m1_;
    WritePort writes_[kWrites];
    RegisterMaster host_;
    uint64_t cycle_ = 0;
};

struct Handle {
    std::unique_ptr<Simulation> simulation;
    std::string error;
};

// Runs `action`; on an error keeps its message and returns -1.
template <typename Action>
int guarded(void* handle, Action action) {
    Handle& self = *static_cast<Handle*>(handle);
    try {
        return action(*self.simulation);
    } catch (const std::exception& error) {
        self.error = error.what();
        return -1;
    }
}

}  // namespace cpt

extern "C" {

void* cpt_create(uint8_t* bytes, uint64_t base, uint64_t size, const int64_t* model, double stall, uint64_t seed,
                 uint32_t longest_stall, int write_order) {
    const cpt::MemoryModel numbers{model[0], model[1], model[2], model[3], model[4]};
    const cpt::Stalls stalls{stall, seed, longest_stall};
    auto* handle = new cpt::Handle;
    handle->simulation.reset(
        new cpt::Simulation(bytes, base, size, numbers, stalls, static_cast<cpt::WriteOrder>(write_order)));
    return handle;
}

void cpt_destroy(void* handle) { delete static_cast<cpt::Handle*>(handle); }

const char* cpt_error(void* handle) { return static_cast<cpt::Handle*>(handle)->error.c_str(); }

// The access functions return the AXI response (0 = OKAY), or -1 with cpt_error set.
int cpt_write(void* handle, uint32_t offset, uint32_t value) {
    return cpt::guarded(handle, [&](cpt::Simulation& simulation) {
        uint8_t response;
        simulation.access(true, offset, value, &response);
        return int(response);
    });
}

int cpt_read(void* handle, uint32_t offset, uint32_t* value) {
    return cpt::guarded(handle, [&](cpt::Simulation& simulation) {
        uint8_t response;
        *value = simulation.access(false, offset, 0, &response);
        return int(response);
    });
}

int cpt_wait(void* handle, uint64_t max_cycles, uint32_t offset, uint32_t busy, uint32_t halted) {
    return cpt::guarded(
        handle, [&](cpt::Simulation& simulation) { return int(simulation.wait(max_cycles, offset, busy, halted)); });
}

int cpt_run(void* handle, uint64_t cycles) {
    return cpt::guarded(handle, [&](cpt::Simulation& simulation) {
        for (uint64_t i = 0; i < cycles; i++) simulation.step();
        return 0;
    });
}

uint64_t cpt_cycle(void* handle) { return static_cast<cpt::Handle*>(handle)->simulation->cycle(); }

int cpt_irq(void* handle) { return static_cast<cpt::Handle*>(handle)->simulation->irq(); }

uint64_t cpt_open_bursts(void* handle) { return static_cast<cpt::Handle*>(handle)->simulation->open_bursts(); }

void cpt_clear_faults(void* handle) { static_cast<cpt::Handle*>(handle)->simulation->faults().clear(); }

void cpt_add_fault(void* handle, uint32_t channels, uint64_t start, uint64_t end, uint64_t first, uint64_t count,
                   uint64_t threshold, uint64_t seed, uint32_t response, uint64_t flip) {
    const cpt::Fault fault{channels, start, end, first, count, threshold, seed, uint8_t(response), flip, {}};
    static_cast<cpt::Handle*>(handle)->simulation->faults().add(fault);
}

void cpt_trace(void* handle, int on) { static_cast<cpt::Handle*>(handle)->simulation->tracing = on; }

void cpt_observe(void* handle, int on) { static_cast<cpt::Handle*>(handle)->simulation->observing = on; }

// Copies the events out and forgets them if `room` suffices; returns how many there were.
uint64_t cpt_take_events(void* handle, cpt::Event* out, uint64_t room) {
    auto& events = static_cast<cpt::Handle*>(handle)->simulation->events;
    const uint64_t count = events.size();
    if (room >= count) {
        std::copy(events.begin(), events.end(), out);
        events.clear();
    }
    return count;
}
}
