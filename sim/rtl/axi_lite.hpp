// The processor's side of the register port: one access at a time.
#pragma once

#include <cstdint>

#include "memory.hpp"

namespace cpt {

class RegisterMaster {
  public:
    RegisterMaster(const Stalls& stalls, unsigned channel)
        : stall_aw_(stalls, channel), stall_w_(stalls, channel + 1), stall_b_(stalls, channel + 2),
          stall_ar_(stalls, channel + 3), stall_r_(stalls, channel + 4) {}

    void start_write(uint32_t offset, uint32_t value) {
        address = offset;
        data = value;
        aw_pending_ = w_pending_ = b_pending_ = true;
    }

    void start_read(uint32_t offset) {
        address = offset;
        ar_pending_ = r_pending_ = true;
    }

    bool idle() const { return !b_pending_ && !r_pending_; }

    // Before the clock edge: what the master drives. A raised valid stays until its transfer.
    void drive() {
        if (!stall_aw_.next() && aw_pending_) awvalid = true;
        if (!stall_w_.next() && w_pending_) wvalid = true;
        if (!stall_ar_.next() && ar_pending_) arvalid = true;
        bready = !stall_b_.next();
        rready = !stall_r_.next();
    }

    void edge(uint64_t cycle, bool awready, bool wready, bool bvalid, uint8_t bresp, bool arready, bool rvalid,
              uint32_t rdata, uint8_t rresp) {
        const unsigned long long at = cycle;
        steady_b_.observe(bvalid, bready, Answer{0, bresp}, cycle);
        steady_r_.observe(rvalid, rready, Answer{rdata, rresp}, cycle);
        if (bvalid && (!b_pending_ || aw_pending_ || w_pending_))
            fail("s_axil B: response without a complete write at cycle %llu", at);
        if (rvalid && (!r_pending_ || ar_pending_)) fail("s_axil R: data without a request at cycle %llu", at);
        if (awvalid && awready) awvalid = aw_pending_ = false;
        if (wvalid && wready) wvalid = w_pending_ = false;
        if (arvalid && arready) arvalid = ar_pending_ = false;
        if (bvalid && bready) {
            response = bresp;
            b_pending_ = false;
        }
        if (rvalid && rready) {
            data = rdata;
            response = rresp;
            r_pending_ = false;
        }
    }

    bool awvalid = false, wvalid = false, arvalid = false, bready = false, rready = false;
    uint32_t address = 0, data = 0;
    uint8_t response = kOkay;

  private:
    struct Answer {
        uint32_t data;
        uint8_t resp;

        bool operator==(const Answer& other) const { return data == other.data && resp == other.resp; }
    };

    bool aw_pending_ = false, w_pending_ = false, b_pending_ = false, ar_pending_ = false, r_pending_ = false;
    Steady<Answer> steady_b_{"s_axil B"}, steady_r_{"s_axil R"};
    Stall stall_aw_, stall_w_, stall_b_, stall_ar_, stall_r_;
};

}  // namespace cpt
