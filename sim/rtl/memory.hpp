// The memory behind the AXI ports. The rules are those of sim/memory.py, numbered alike.
#pragma once

#include <cstdint>
#include <cstring>
#include <deque>

#include "faults.hpp"
#include "stalls.hpp"

namespace cpt {

constexpr unsigned kBeatBytes = 8;
constexpr unsigned kBurstBeats = 16;
constexpr uint8_t kOkay = 0;
constexpr uint8_t kDecodeError = 3;

struct MemoryModel {
    int64_t read_latency, write_latency, slots_num, slots_den, max_outstanding;
};

enum class WriteOrder : int { kAddress = 0, kData = 1, kRandom = 2 };

// The bytes, and what happens to a beat on its way to or from them.
struct Dram {
    uint8_t* bytes;
    uint64_t base, size;
    Faults faults;

    // One read beat; the response, and zeros with an error.
    uint8_t read(unsigned channel, uint64_t address, uint64_t& data) {
        const Verdict verdict = faults.judge(channel, address);
        const uint8_t response = holds(address) ? verdict.response : kDecodeError;
        data = 0;
        if (response == kOkay) {
            std::memcpy(&data, bytes + (address - base), kBeatBytes);
            data ^= verdict.flip;
        }
        return response;
    }

    // One write beat; the response, and nothing is changed with an error.
    uint8_t write(unsigned channel, uint64_t address, uint64_t data, uint8_t strobe) {
        const Verdict verdict = faults.judge(channel, address);
        const uint8_t response = holds(address) ? verdict.response : kDecodeError;
        if (response == kOkay) {
            uint8_t* target = bytes + (address - base);
            for (unsigned byte = 0; byte < kBeatBytes; byte++)
                if (strobe >> byte & 1) target[byte] = uint8_t((data ^ verdict.flip) >> 8 * byte);
        }
        return response;
    }

  private:
    bool holds(uint64_t address) const { return address >= base && address + kBeatBytes <= base + size; }
};

// What a master drives on AR or AW, and the check of what Zynq HP ports (AXI3) accept.
struct Address {
    uint32_t address;
    uint8_t len, size, burst, id;

    bool operator==(const Address& other) const {
        return address == other.address && len == other.len && size == other.size && burst == other.burst &&
               id == other.id;
    }

    void check(const char* channel, uint64_t cycle) const {
        const unsigned long long at = cycle;
        const uint64_t last = address + uint64_t(len + 1) * kBeatBytes - 1;
        if (len >= kBurstBeats) fail("%s: burst of %d beats at cycle %llu; allowed: 1..16", channel, len + 1, at);
        if (size != 3) fail("%s: size is %d at cycle %llu; allowed: 3 (8 bytes)", channel, size, at);
        if (burst != 1) fail("%s: burst is %d at cycle %llu; allowed: 1 (INCR)", channel, burst, at);
        if (id != 0) fail("%s: id is %d at cycle %llu; allowed: 0", channel, id, at);
        if (address % kBeatBytes) fail("%s: address 0x%08x at cycle %llu; allowed: multiples of 8", channel, address, at);
        if (address >> 12 != last >> 12)
            fail("%s: burst at 0x%08x of %d beats crosses 4 KB at cycle %llu", channel, address, len + 1, at);
    }
};

// Raises if a valid is withdrawn or its payload changes before the transfer.
template <typename Payload>
class Steady {
  public:
    explicit Steady(const char* channel) : channel_(channel) {}

    void observe(bool valid, bool ready, const Payload& payload, uint64_t cycle) {
        const unsigned long long at = cycle;
        if (waiting_ && !valid) fail("%s: valid withdrawn before the transfer at cycle %llu", channel_, at);
        if (waiting_ && !(payload == payload_)) fail("%s: payload changed before the transfer at cycle %llu", channel_, at);
        waiting_ = valid && !ready;
        payload_ = payload;
    }

    void reset() { waiting_ = false; }

  private:
    const char* channel_;
    bool waiting_ = false;
    Payload payload_{};
};

// One read port: AR and R.
class ReadPort {
  public:
    struct Offer {
        bool valid = false, last = false;
        uint64_t data = 0;
        uint8_t resp = kOkay;
    };

    ReadPort(const char* name, unsigned data_channel, const MemoryModel& model, Dram& dram, const Stalls& stalls,
             unsigned channel)
        : name_(name), data_channel_(data_channel), model_(model), dram_(dram), steady_(name),
          stall_address_(stalls, channel), stall_data_(stalls, channel + 1) {}

    bool address_ready() { return !stall_address_.next() && open_.size() < size_t(model_.max_outstanding); }

    bool wants_slot(uint64_t cycle) {
        if (stall_data_.next() || offer.valid || open_.empty()) return false;
        return cycle >= open_.front().cycle + model_.read_latency;
    }

    void grant() {
        Open& burst = open_.front();
        offer = Offer{true, burst.sent == burst.len, 0, kOkay};
        offer.resp = dram_.read(data_channel_, burst.address + uint64_t(burst.sent) * kBeatBytes, offer.data);
    }

    // The clock edge that ends `cycle`: which transfers took place.
    bool edge(uint64_t cycle, bool arvalid, bool arready, const Address& address, bool rready) {
        steady_.observe(arvalid, arready, address, cycle);
        if (offer.valid && rready) {
            if (offer.last) open_.pop_front();
            else open_.front().sent++;
            offer.valid = false;
        }
        const bool accepted = arvalid && arready;
        if (accepted) {
            address.check(name_, cycle);
            open_.push_back(Open{cycle, address.address, address.len, 0});
        }
        return accepted;
    }

    void reset() {
        open_.clear();
        offer = Offer{};
        steady_.reset();
    }

    size_t open() const { return open_.size(); }

    Offer offer;

  private:
    struct Open {
        uint64_t cycle;
        uint64_t address;
        unsigned len, sent;
    };

    const char* name_;
    const unsigned data_channel_;
    const MemoryModel& model_;
    Dram& dram_;
    std::deque<Open> open_;
    Steady<Address> steady_;
    Stall stall_address_, stall_data_;
};

// One write port: AW, W and B.
class WritePort {
  public:
    struct Beat {
        uint64_t data;
        uint8_t strobe, last;

        bool operator==(const Beat& other) const {
            return data == other.data && strobe == other.strobe && last == other.last;
        }
    };

    WritePort(const char* address_name, const char* data_name, unsigned data_channel, const MemoryModel& model, Dram& dram,
              const Stalls& stalls, WriteOrder order, unsigned channel)
        : address_name_(address_name), data_name_(data_name), data_channel_(data_channel), model_(model), dram_(dram),
          steady_address_(address_name), steady_data_(data_name), stall_address_(stalls, channel), stall_data_(stalls, channel + 1),
          stall_response_(stalls, channel + 2), order_(order), random_(stalls.seed, channel + kOrderChannel) {
        draw();
    }

    bool address_ready() {
        if (stall_address_.next() || filling_.size() + answers_.size() >= size_t(model_.max_outstanding)) return false;
        return early_.size() >= wanted_ || early_complete();
    }

    // Data of the burst whose address comes next is taken early if the order allows it, one burst at the most.
    bool wants_slot(bool wvalid) {
        if (stall_data_.next() || !wvalid) return false;
        return !filling_.empty() || (early_allowed_ && !early_complete());
    }

    void offer_response(uint64_t cycle) {
        if (stall_response_.next() || response_valid || answers_.empty()) return;
        response_valid = cycle >= answers_.front().cycle + model_.write_latency;
        response = answers_.front().resp;
    }

    bool edge(uint64_t cycle, bool awvalid, bool awready, const Address& address, bool wvalid, bool wready,
              const Beat& beat, bool bready) {
        steady_address_.observe(awvalid, awready, address, cycle);
        steady_data_.observe(wvalid, wready, beat, cycle);
        if (response_valid && bready) {
            answers_.pop_front();
            response_valid = false;
        }
        const bool accepted = awvalid && awready;
        if (wvalid && wready) {
            if (filling_.empty()) early_.push_back(beat);
            else take(cycle, beat);
        }
        if (accepted) {
            address.check(address_name_, cycle);
            filling_.push_back(Filling{address.address, address.len, 0, kOkay});
            draw();
        }
        // Early beats belong to the burst behind all those that still wait for data.
        if (filling_.size() == 1)
            while (!early_.empty()) {
                take(cycle, early_.front());
                early_.pop_front();
            }
        return accepted;
    }

    void reset() {
        filling_.clear();
        answers_.clear();
        early_.clear();
        response_valid = false;
        steady_address_.reset();
        steady_data_.reset();
    }

    size_t open() const { return filling_.size() + answers_.size() + (early_.empty() ? 0 : 1); }

    bool response_valid = false;
    uint8_t response = kOkay;

  private:
    struct Filling {
        uint64_t address;
        unsigned len, taken;
        uint8_t resp;
    };
    struct Answer {
        uint64_t cycle;
        uint8_t resp;
    };

    static constexpr unsigned kOrderChannel = 100;

    bool early_complete() const { return !early_.empty() && early_.back().last; }

    // How the next burst's address and data are ordered.
    void draw() {
        WriteOrder order = order_;
        if (order == WriteOrder::kRandom) {
            const uint32_t drawn = random_.next() % 4;
            order = drawn == 0 ? WriteOrder::kAddress : WriteOrder::kData;
            wanted_ = drawn == 1 ? kBurstBeats : random_.next() % 4;
        } else {
            wanted_ = kBurstBeats;
        }
        early_allowed_ = order == WriteOrder::kData;
        if (!early_allowed_) wanted_ = 0;
    }

    void take(uint64_t cycle, const Beat& beat) {
        Filling& burst = filling_.front();
        const uint64_t address = burst.address + uint64_t(burst.taken) * kBeatBytes;
        const bool last = burst.taken == burst.len;
        if (bool(beat.last) != last)
            fail("%s: last is %d on beat %u of %u at cycle %llu", data_name_, beat.last, burst.taken + 1, burst.len + 1,
                 static_cast<unsigned long long>(cycle));
        const uint8_t response = dram_.write(data_channel_, address, beat.data, beat.strobe);
        if (response != kOkay) burst.resp = response;
        burst.taken++;
        if (last) {
            answers_.push_back(Answer{cycle, burst.resp});
            filling_.pop_front();
        }
    }

    const char *address_name_, *data_name_;
    const unsigned data_channel_;
    const MemoryModel& model_;
    Dram& dram_;
    std::deque<Filling> filling_;
    std::deque<Answer> answers_;
    Steady<Address> steady_address_;
    Steady<Beat> steady_data_;
    Stall stall_address_, stall_data_, stall_response_;
    WriteOrder order_;
    Random random_;
    std::deque<Beat> early_;    // data without an address
    size_t wanted_ = 0;         // beats of it before the next address is taken
    bool early_allowed_ = false;
};

}  // namespace cpt
