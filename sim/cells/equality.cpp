// Drives the instantiated and the portable form of the matrix unit with the same random steps and compares
// their results in every cycle. Arguments: cycles, seed. Prints what it compared; status 1 at a difference.
#include <cinttypes>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "Vequality.h"
#include "verilated.h"

namespace {

uint64_t state;

uint64_t draw() {  // splitmix64: every seed gives a full period
  uint64_t z = (state += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

// Words of all densities: mostly ones reach the high bits of the count, lone bits each single input.
uint32_t word(unsigned density) {
  const uint32_t x = static_cast<uint32_t>(draw());
  switch (density) {
    case 0: return x;
    case 1: return x | static_cast<uint32_t>(draw() >> 32);
    case 2: return ~(x & static_cast<uint32_t>(draw() >> 32) & static_cast<uint32_t>(draw()));
    case 3: return 0xffffffffu;
    case 4: return draw() & 3 ? 0xffffffffu : x;
    default: return x & static_cast<uint32_t>(draw() >> 32) & static_cast<uint32_t>(draw());
  }
}

template <typename Port>
void fill(Port& port, unsigned bits, unsigned density) {
  uint32_t* words = reinterpret_cast<uint32_t*>(&port);
  for (unsigned i = 0; i * 32 < bits; ++i) {
    words[i] = word(density);
    if (bits - i * 32 < 32) words[i] &= (1u << (bits - i * 32)) - 1;
  }
}

// clear, double, count, subtract of every legal step: three that clear (0, C, -C), then hold, P + C, P - C,
// 2P + C, 2P. Clearing is rare, so that P reaches the width of its register.
constexpr unsigned kClear[4] = {0b0001, 0b0101, 0b1101, 0b1101};
constexpr unsigned kOther[8] = {0b0000, 0b0100, 0b1100, 0b1100, 0b0110, 0b0110, 0b0010, 0b0010};

unsigned legal_step() {
  const uint64_t x = draw();
  return (x & 127) == 0 ? kClear[x >> 8 & 3] : kOther[x >> 16 & 7];
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t cycles = std::strtoull(argc > 1 ? argv[1] : "1000", nullptr, 10);
  state = std::strtoull(argc > 2 ? argv[2] : "1", nullptr, 10);
  const bool forbidden = argc > 3;  // one step that the slice cannot take: 2P - C
  VerilatedContext context;
  Vequality top{&context};
  uint64_t compared = 0, largest = 0;
  for (uint64_t cycle = 0; cycle < cycles; ++cycle) {
    unsigned step = legal_step();
    if (cycle == 0) step = 0b0001;  // P has no value before
    if (forbidden && cycle == cycles / 2) step = 0b1110;
    const unsigned drawn = static_cast<unsigned>(draw());
    top.clear = step & 1;
    top.double_ = step >> 1 & 1;
    top.count = step >> 2 & 1;
    top.subtract = step >> 3 & 1;
    top.capture = cycle == 0 || (drawn & 3) != 0;
    fill(top.a, WORD_BITS, drawn >> 8 & 7);
    fill(top.b, WORD_BITS, drawn >> 16 & 7);
    top.clk = 0;
    top.eval();
    if (cycle > LATENCY) {
      ++compared;
      if (top.portable != top.cells) {
        std::printf("cycle %" PRIu64 ": portable %" PRIx64 ", cells %" PRIx64 "\n", cycle,
                    static_cast<uint64_t>(top.portable), static_cast<uint64_t>(top.cells));
        return 1;
      }
      const uint64_t size = top.portable >> 47 ? (1ull << 48) - top.portable : top.portable;
      if (size > largest) largest = size;
    }
    top.clk = 1;
    top.eval();
  }
  if (compared == 0 || largest == 0) {
    std::printf("nothing was compared\n");
    return 1;
  }
  std::printf("%" PRIu64 " results compared, the largest 2^%.1f\n", compared,
              std::log2(static_cast<double>(largest)));
  return 0;
}
