// SPDX-License-Identifier: Apache-2.0
// Each twin of a good binary, log or table has one fault, and check has to say which.
//
//   twins TABLE TENSOR_CORES PLAIN LOCAL...   stems of STEM.cubin and STEM.log: kernels on tensor
//     cores; in ordinary arithmetic; of twins/local_memory.cu, which is a twin by itself
#include <functional>
#include <iostream>

#include "page.hpp"
#include "update.hpp"

namespace {

/// What check reads of one piece.
struct Piece {
  std::string binary;
  std::string log;
  std::string table;
};

int failures = 0;

void expect(bool good, const std::string& what) {
  if (!good) {
    std::cout << "twin: " << what << '\n';
    ++failures;
  }
}

/// What check says of a piece, all in one text.
std::string verdict(const Piece& piece) {
  try {
    std::string all;
    for (const std::string& problem :
         bounds::judge(bounds::parse(piece.table), binaries::read(piece.binary, piece.log))) {
      all += problem + '\n';
    }
    return all;
  } catch (const std::exception& error) {
    return error.what();
  }
}

/// A piece with a change, which has to be found out with these words.
void refused(Piece piece, const std::string& words, const std::function<void(Piece&)>& change) {
  change(piece);
  const std::string said = verdict(piece);
  expect(said.find(words) != std::string::npos, "not \"" + words + "\", but: " + said);
}

void replace(std::string& text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  expect(at != std::string::npos, "no \"" + from + "\" in the original");
  if (at != std::string::npos) {
    text.replace(at, from.size(), to);
  }
}

unsigned code(std::string_view name) {
  for (const binaries::Operation& operation : binaries::operations) {
    if (operation.name == name) {
      return operation.code;
    }
  }
  throw std::runtime_error("no such operation");
}
constexpr unsigned no_operation = 0x118;

/// Makes one operation another one in a kernel: the first one met, or all of them.
void rewrite(Piece& piece, const std::string& symbol, unsigned from, unsigned to, bool all) {
  for (const binaries::Code& part : binaries::code_of(piece.binary)) {
    for (std::size_t i = 0; part.symbol == symbol && i < part.size;
         i += binaries::instruction_bytes) {
      const std::size_t at = part.offset + i;
      if (binaries::operation_at(piece.binary, at) == from) {
        piece.binary[at] = static_cast<char>(to & 0xffu);
        piece.binary[at + 1] = static_cast<char>(
            (static_cast<unsigned char>(piece.binary[at + 1]) & 0xfeu) | (to >> 8));
        if (!all) {
          return;
        }
      }
    }
  }
}

Piece read(const std::string& stem) {
  return {binaries::contents(stem + ".cubin"), binaries::contents(stem + ".log"), ""};
}

/// The first kernel with that operation.
binaries::Kernel kernel_with(const Piece& piece, const char* operation) {
  for (const binaries::Kernel& kernel : binaries::read(piece.binary, piece.log)) {
    if (kernel.mix.at(operation) > 0) {
      return kernel;
    }
  }
  throw std::runtime_error(std::string("no kernel has ") + operation);
}

/// A table for one piece, every kernel in a line of its own.
std::string own_table(const Piece& piece, const std::string& target) {
  return bounds::updated("targets " + target + "\nno_such_kernel 8\n",
                         binaries::read(piece.binary, piece.log));
}

void tensor_core_twins(const std::string& stem) {
  Piece good = read(stem);
  const std::string target = stem.substr(stem.rfind("sm_") + 3);
  good.table = own_table(good, target);
  const binaries::Kernel kernel = kernel_with(good, "LDGSTS");
  const int hmma = kernel.mix.at("HMMA");
  expect(verdict(good).empty(), "the original is refused: " + verdict(good));
  expect(hmma > 0 && hmma == bounds::tile_hmma(kernel), "HMMA of " + kernel.name);

  const auto in_code = [&](const char* from, unsigned to, bool all) {
    return [&kernel, from, to, all](Piece& p) { rewrite(p, kernel.symbol, code(from), to, all); };
  };
  refused(good, "HMMA " + std::to_string(hmma - 1) + ", not " + std::to_string(hmma),
          in_code("HMMA", no_operation, false));
  refused(good, "LDSM 0, not 1 or more", in_code("LDSM", no_operation, true));
  refused(good, "LDGSTS 0, not 1 or more", in_code("LDGSTS", no_operation, true));
  refused(good, "LDL 1, not 0", in_code("LDS", code("LDL"), false));
  refused(good, "STL 1, not 0", in_code("STS", code("STL"), false));

  const auto in_log = [](const char* from, const char* to) {
    return [=](Piece& p) { replace(p.log, from, to); };
  };
  refused(good, "bytes of stack 64, not 0", in_log("    0 bytes stack", "    64 bytes stack"));
  refused(good, "spill stores 4, not 0", in_log(" 0 bytes spill stores", " 4 bytes spill stores"));
  refused(good, "spill loads 4, not 0", in_log(" 0 bytes spill loads", " 4 bytes spill loads"));
  refused(good, "static shared memory 96, not 0", in_log("barriers,", "barriers, 96 bytes smem,"));
  refused(good, "registers 999, not at most", in_log("Used ", "Used 999 registers; not "));
  refused(good, "not a word about", in_log("Compiling entry function '", "Compiling '"));
  refused(good, "no column for sm_75", in_log(("sm_" + target).c_str(), "sm_75"));
  refused(good, "not a word about", [](Piece& p) { p.log.clear(); });
  refused(good, "cut off", [](Piece& p) { p.binary.resize(p.binary.size() / 2); });
  refused(good, "not an ELF64 file", [](Piece& p) { p.binary[1] = 'F'; });

  const std::string line = good.table.substr(good.table.find(kernel.name));
  const std::string own = line.substr(0, line.find('\n') + 1);
  const auto in_table = [&own](const std::string& from, const std::string& to) {
    return [&own, from, to](Piece& p) {
      std::string changed = own;
      replace(changed, from, to);
      replace(p.table, own, changed);
    };
  };
  refused(good, "HMMA " + std::to_string(hmma) + ", not " + std::to_string(hmma + 1),
          in_table("hmma=tile", "hmma=" + std::to_string(hmma + 1)));
  refused(good, "HMMA " + std::to_string(hmma) + ", not 0", in_table("hmma=tile", ""));
  refused(good, "LDSM", in_table(" ldsm", ""));
  refused(good, "LDGSTS", in_table(" ldgsts", ""));
  refused(good, "what is lsdm?", in_table("ldsm", "lsdm"));
  refused(good, "FFMA and DFMA", in_table("hmma=tile", "hmma=tile fma>=999999"));
  refused(good, kernel.name + ": not in the table", in_table(own, ""));
  refused(good, "no_such_kernel<*>: no kernel for sm_" + target,
          [](Piece& p) { p.table += "no_such_kernel<*> 255\n"; });
  refused(good, "a bound for every target", [](Piece& p) { p.table += "no_such_kernel<*>\n"; });
  refused(good, "says that there is no such kernel",
          [&kernel](Piece& p) { replace(p.table, "\n", "\n" + kernel.name + " -\n"); });
  refused(good, "no kernel for sm_75",
          [](Piece& p) { p.table = "targets 75 80 90 100\n* 255 255 255 255\n"; });
}

void plain_twins(const std::string& stem) {
  Piece good = read(stem);
  good.table = own_table(good, stem.substr(stem.rfind("sm_") + 3));
  const std::vector<binaries::Kernel> all = binaries::read(good.binary, good.log);
  const binaries::Kernel* kernel = nullptr;
  for (const binaries::Kernel& one : all) {
    kernel = bounds::tile_fma(one) > 0 ? &one : kernel;
  }
  expect(kernel != nullptr && verdict(good).empty(), "the original is refused: " + verdict(good));
  if (kernel != nullptr) {
    refused(good, "FFMA and DFMA 0, not " + std::to_string(bounds::tile_fma(*kernel)),
            [kernel](Piece& p) { rewrite(p, kernel->symbol, code("FFMA"), no_operation, true); });
  }
  refused(good, "no tile in its name", [&good](Piece& p) {
    p.table = "targets " + good.table.substr(8, good.table.find('\n') - 8) + "\n* 255 hmma=tile\n";
  });
}

/// What nvcc itself makes of an array in local memory.
void local_memory_twin(const std::string& stem) {
  Piece piece = read(stem);
  const std::string target = stem.substr(stem.rfind("sm_") + 3);
  piece.table = "targets " + target + "\nlocal_memory_kernel<*> 255\n";
  const std::string said = verdict(piece);
  for (const char* words : {"bytes of stack 64, not 0", "LDL", "STL"}) {
    expect(said.find(words) != std::string::npos,
           "sm_" + target + ": nothing about " + words + " in: " + said);
  }
}

void pattern_twins() {
  using bounds::matches;
  expect(matches("a<*,[b|cd],e>", "a<1,2,cd,e>"), "a pattern does not match");
  expect(!matches("a<*,[b|cd],e>", "a<1,2,c,e>"), "a pattern matches an alternative's beginning");
  expect(!matches("a<*", "b<1>") && !matches("a", "ab") && !matches("ab", "a"),
         "a pattern matches another name");
  expect(binaries::readable("_ZN4xmoe7v0_cuda4cuda6kernelIfLb1EEEvT_i") == "kernel<float,true>",
         "a name is not readable");
}

void traffic_twins() {
  const auto all = page::read_traffic("# comment\nkernel<Mma, half>;2e9;4.5e12\n");
  std::ostringstream out;
  page::floors(out, all);
  // 2e9 / 2.04e12 s against 4.5e12 / 312e12 s, and so on.
  expect(out.str().find("| 2250 | 1.442e+04 A | 4550 A | 2000 A |") != std::string::npos,
         "floors: " + out.str());
  try {
    page::read_traffic("kernel;12\n");
    expect(false, "half a line of traffic passes");
  } catch (const std::exception&) {
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc < 5) {
      throw std::runtime_error("twins TABLE TENSOR_CORES PLAIN LOCAL...");
    }
    pattern_twins();
    traffic_twins();
    tensor_core_twins(argv[2]);
    plain_twins(argv[3]);
    for (int i = 4; i < argc; ++i) {
      local_memory_twin(argv[i]);
    }
    const std::string table = binaries::contents(argv[1]);
    expect(bounds::updated(table, {}).size() < table.size(), "rules without a kernel stay");
  } catch (const std::exception& error) {
    std::cout << "twins: " << error.what() << '\n';
    return 2;
  }
  std::cout << (failures == 0 ? "every twin was refused\n" : "");
  return failures == 0 ? 0 : 1;
}
