// Reproducible random stalls and the error every check raises.
#pragma once

#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>

namespace cpt {

// A broken protocol rule or an unanswered transfer; the message is one line.
struct SimulationError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

template <typename... Args>
[[noreturn]] void fail(const char* format, Args... args) {
    char line[256];
    std::snprintf(line, sizeof line, format, args...);
    throw SimulationError(line);
}

// Random numbers of one channel: xorshift64 seeded by splitmix64.
class Random {
  public:
    Random(uint64_t seed, uint64_t channel) {
        uint64_t mixed = seed + (channel + 1) * 0x9E3779B97F4A7C15ull;
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ull;
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBull;
        state_ = mixed ^ (mixed >> 31);
        if (state_ == 0) state_ = 1;
    }

    uint32_t next() {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return uint32_t(state_ >> 32);
    }

  private:
    uint64_t state_;
};

// How channels are held back, as in sim/memory.py.
struct Stalls {
    double probability;
    uint64_t seed;
    uint32_t longest;
};

// Decides, cycle by cycle, whether one channel is held back.
class Stall {
  public:
    Stall(const Stalls& stalls, uint64_t channel)
        : threshold_(static_cast<uint64_t>(stalls.probability * 4294967296.0)), longest_(stalls.longest),
          random_(stalls.seed, channel) {}

    bool next() {
        if (threshold_ == 0) return false;
        if (left_ > 0) {
            left_--;
            return true;
        }
        if (random_.next() >= threshold_) return false;
        if (longest_ > 1) left_ = random_.next() % longest_;
        return true;
    }

  private:
    uint64_t threshold_;
    uint32_t longest_, left_ = 0;
    Random random_;
};

}  // namespace cpt
