// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "corpus.hpp"
#include "settings.hpp"

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace lm {

/// A training run at rest, in one file:
///
///   "xmoe-lm\n"   version u32   length u64, header (JSON text)
///   tensors u32, each: length u32, name   count, rows, cols u64   numbers (float, plain order)
///   FNV-1a u64 of all that stands before
///
/// in the byte order of the machine. The header holds what is not a tensor: settings, vocabulary,
/// step, history. Random numbers have no state here: they are a function of seed and step.
struct Checkpoint {
  struct Tensor {
    std::string name;
    index count = 0, rows = 0, cols = 0;
    std::vector<float> values{};
  };
  nlohmann::json header{};
  std::vector<Tensor> tensors{};

  void add(const Parameters& parameters, const std::string& prefix) {
    for (const xmoe::Parameter& p : parameters) {
      const Panels<float>& from = p.as<float>();
      Tensor tensor{prefix + p.name, from.count(), from.rows(), from.cols(), {}};
      tensor.values.resize(size(from.size()));
      from.store(tensor.values);
      tensors.push_back(std::move(tensor));
    }
  }

  /// Throws user_error if a tensor is missing or has another shape.
  void restore(const Parameters& parameters, const std::string& prefix) const {
    for (const xmoe::Parameter& p : parameters) {
      Panels<float>& to = p.as<float>();
      const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const Tensor& t) {
        return t.name == prefix + p.name && t.count == to.count() && t.rows == to.rows() &&
               t.cols == to.cols();
      });
      if (found == tensors.end()) {
        throw user_error("the checkpoint has no tensor '" + prefix + p.name +
                         "' of the right shape");
      }
      to.load(found->values);
    }
  }

  /// Writes beside the old file and then takes its place, so that there is always a whole one.
  void write(const std::string& path) const;
  /// Throws user_error if the file is missing, cut off, damaged or something else.
  static Checkpoint read(const std::string& path);

 private:
  static constexpr char magic[] = "xmoe-lm\n";
  static constexpr std::uint32_t version = 1;

  static std::uint64_t checksum(std::string_view bytes) {
    std::uint64_t sum = 0xcbf29ce484222325u;
    for (const char c : bytes) {
      sum = (sum ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    }
    return sum;
  }
};

inline void Checkpoint::write(const std::string& path) const {
  std::string bytes(magic);
  const auto put = [&](auto number) {
    bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
  };
  const std::string text = header.dump();
  put(version);
  put(static_cast<std::uint64_t>(text.size()));
  bytes += text;
  put(static_cast<std::uint32_t>(tensors.size()));
  for (const Tensor& t : tensors) {
    put(static_cast<std::uint32_t>(t.name.size()));
    bytes += t.name;
    for (const index extent : {t.count, t.rows, t.cols}) {
      put(static_cast<std::uint64_t>(extent));
    }
    bytes.append(reinterpret_cast<const char*>(t.values.data()), t.values.size() * sizeof(float));
  }
  put(checksum(bytes));

  const std::string beside = path + ".part";
  std::ofstream file(beside, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  std::error_code problem;
  if (file) {
    std::filesystem::rename(beside, path, problem);
  }
  if (!file || problem) {
    throw user_error("cannot write the checkpoint '" + path + "'");
  }
}

inline Checkpoint Checkpoint::read(const std::string& path) {
  const auto check = [&](bool good, const char* what) {
    if (!good) {
      throw user_error("'" + path + "' " + what);
    }
  };
  std::ifstream file(path, std::ios::binary);
  check(std::filesystem::is_regular_file(path) && bool(file), "cannot be read");
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});

  constexpr std::size_t trailer = sizeof(std::uint64_t);
  check(bytes.compare(0, std::strlen(magic), magic) == 0, "is not a checkpoint of this program");
  std::size_t at = std::strlen(magic);
  const auto get = [&]<class Number>(Number) {
    Number number;
    check(bytes.size() - at >= sizeof number, "is cut off");
    std::memcpy(&number, bytes.data() + at, sizeof number);
    at += sizeof number;
    return number;
  };
  check(get(std::uint32_t{}) == version, "is a checkpoint of another version");
  check(bytes.size() - at >= trailer, "is cut off");
  std::uint64_t stored;
  std::memcpy(&stored, bytes.data() + bytes.size() - trailer, trailer);
  check(stored == checksum(std::string_view(bytes).substr(0, bytes.size() - trailer)),
        "is cut off or damaged: its checksum is wrong");

  // From here on the bytes are those that were written; the checks remain, at no cost.
  const auto take = [&](std::uint64_t count) {
    check(count <= bytes.size() - at, "is cut off");
    at += count;
    return std::string_view(bytes).substr(at - count, count);
  };
  Checkpoint result;
  const auto length = get(std::uint64_t{});
  result.header = nlohmann::json::parse(take(length), nullptr, false);
  check(result.header.is_object(), "has no readable header");
  const auto tensors = get(std::uint32_t{});
  for (std::uint32_t i = 0; i < tensors; ++i) {
    Tensor tensor;
    tensor.name = take(get(std::uint32_t{}));
    std::uint64_t numbers = 1;
    for (index* extent : {&tensor.count, &tensor.rows, &tensor.cols}) {
      const auto n = get(std::uint64_t{});
      check(n <= bytes.size(), "is damaged");
      *extent = static_cast<index>(n);
      numbers *= n;
    }
    const std::string_view values = take(numbers * sizeof(float));
    tensor.values.resize(numbers);
    std::memcpy(tensor.values.data(), values.data(), values.size());
    result.tensors.push_back(std::move(tensor));
  }
  return result;
}

/// A vocabulary as JSON: bytes as numbers, because they need not be text.
inline nlohmann::json to_json(const BytePairs& vocabulary) {
  std::vector<int> alphabet;
  for (const char c : vocabulary.alphabet()) {
    alphabet.push_back(static_cast<unsigned char>(c));
  }
  return {{"alphabet", alphabet}, {"merges", vocabulary.merges()}};
}
inline BytePairs vocabulary_from(const nlohmann::json& json) {
  std::string alphabet;
  for (const int c : json.at("alphabet").get<std::vector<int>>()) {
    alphabet += static_cast<char>(c);
  }
  return BytePairs(alphabet, json.at("merges").get<std::vector<BytePairs::Pair>>());
}

}  // namespace lm
