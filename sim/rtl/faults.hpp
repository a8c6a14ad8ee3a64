// What the memory does wrong on request; the rules are those of sim/faults.py.
#pragma once

#include <cstdint>
#include <vector>

namespace cpt {

constexpr unsigned kRead0 = 0, kRead1 = 1, kWrite0 = 2, kWrite1 = 3, kMostChannels = 4;

// Beats of some channels in a range of addresses, counted channel by channel: refused, or one bit flipped.
struct Fault {
    uint32_t channels;          // bit n: data channel n
    uint64_t start, end;        // bus addresses
    uint64_t first, count;      // numbers of the beats it hits
    uint64_t threshold, seed;   // of the 32-bit hash of an address
    uint8_t response;           // 0: none
    uint64_t flip;              // bits of the data
    uint64_t seen[kMostChannels];
};

struct Verdict {
    uint8_t response = 0;
    uint64_t flip = 0;
};

class Faults {
  public:
    void add(const Fault& fault) { faults_.push_back(fault); }
    void clear() { faults_.clear(); }

    // What happens to the next beat of `channel`, which is at `address`.
    Verdict judge(unsigned channel, uint64_t address) {
        Verdict verdict;
        for (Fault& fault : faults_) {
            if (!(fault.channels >> channel & 1) || address < fault.start || address >= fault.end) continue;
            if (hash(fault.seed, address) >= fault.threshold) continue;
            const uint64_t number = fault.seen[channel]++;
            if (number < fault.first || number - fault.first >= fault.count) continue;
            if (fault.response) verdict.response = fault.response;
            verdict.flip ^= fault.flip;
        }
        return verdict;
    }

  private:
    static uint64_t hash(uint64_t seed, uint64_t address) {
        uint64_t mixed = seed + (address / 8 + 1) * 0x9E3779B97F4A7C15ull;
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ull;
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBull;
        return (mixed ^ (mixed >> 31)) >> 32;
    }

    std::vector<Fault> faults_;
};

}  // namespace cpt
