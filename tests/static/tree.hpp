// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

/// Reads a tree of headers and reports what breaks the rules of the house.
namespace tree {

namespace fs = std::filesystem;

struct Finding {
  std::string rule;  ///< one word
  std::string file;  ///< relative to the tree
  std::string text;
};

/// Headers that are included by name alone: one measures, and reads and writes files; one needs
/// another library.
inline bool apart(const std::string& path) {
  return path == "backend/cpu/autotune.hpp" || path == "backend/cuda/cublas.cuh";
}

/// Who may include whom: a room sees itself and the rooms with smaller numbers.
inline const std::map<std::string, int>& ranks() {
  static const std::map<std::string, int> table = {
      {"core", 0},         {"concepts", 1},      {"backend", 2},  {"router", 3},
      {"expert", 3},       {"dispatch", 3},      {"quantize", 3}, {"sparsity", 3},
      {"metrics", 3},      {"training", 4},      {"runtime", 4},  {"distributed", 4},
      {"structure", 5},    {"moe_layer.hpp", 6}, {"convert", 7},  {"interop", 7},
      {"backend/cuda", 8}, {"recipes", 8},       {"xmoe.hpp", 9}, {"cuda.cuh", 10}};
  return table;
}

/// The first part of a path below xmoe/: a folder, or a file that is a room of its own. The CUDA
/// backend is one too: its kernels are written for the policies, so it sees them.
inline std::string room_of(const std::string& path) {
  const std::string cuda = "backend/cuda";
  return path.compare(0, cuda.size(), cuda) == 0 ? cuda : path.substr(0, path.find('/'));
}

struct Header {
  std::string path;  ///< below xmoe/
  std::vector<std::string> lines;
  std::vector<std::string> angle;   ///< included as <...>
  std::vector<std::string> quoted;  ///< included as "..."
};

inline Header read(const fs::path& root, const fs::path& file) {
  static const std::regex include(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"].*)");
  Header header;
  header.path = fs::relative(file, root / "xmoe").generic_string();
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    std::smatch match;
    if (std::regex_match(line, match, include)) {
      (match[1] == "<" ? header.angle : header.quoted).push_back(match[2]);
    }
    header.lines.push_back(line);
  }
  return header;
}

inline std::vector<Header> read_all(const fs::path& root) {
  std::vector<Header> headers;
  for (const auto& entry : fs::recursive_directory_iterator(root / "xmoe")) {
    if (entry.is_regular_file()) {
      headers.push_back(read(root, entry.path()));
    }
  }
  std::sort(headers.begin(), headers.end(),
            [](const Header& a, const Header& b) { return a.path < b.path; });
  return headers;
}

inline bool starts_with(const std::string& text, const std::string& start) {
  return text.compare(0, start.size(), start) == 0;
}
inline bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

/// The namespace in which a header of this folder writes, below xmoe: the folder's own name, but
/// nothing for rooms whose names are part of xmoe itself.
inline std::string namespace_of(const std::string& path) {
  const std::string folder = fs::path(path).parent_path().filename().string();
  const std::set<std::string> plain = {"", "core", "concepts", "router", "training"};
  return plain.count(folder) > 0 ? "" : folder;
}

/// `root` holds the folder xmoe/.
inline std::vector<Finding> check(const fs::path& root) {
  std::vector<Finding> findings;
  const std::vector<Header> headers = read_all(root);
  std::map<std::string, const Header*> by_path;
  for (const Header& h : headers) {
    by_path[h.path] = &h;
  }
  const std::set<std::string> heavy = {"ranges",     "random",     "iostream", "regex", "map",
                                       "filesystem", "functional", "thread",   "future"};

  for (const Header& h : headers) {
    const auto report = [&](const char* rule, const std::string& text) {
      findings.push_back({rule, h.path, text});
    };
    const std::string room = room_of(h.path);
    const auto rank = ranks().find(room);
    if (rank == ranks().end()) {
      report("room", "no room of this name in the design");
      continue;
    }
    if (!ends_with(h.path, ".hpp") && !ends_with(h.path, ".cuh")) {
      report("suffix", "headers end in .hpp or .cuh");
    }
    if (h.lines.empty() || h.lines[0] != "// SPDX-License-Identifier: Apache-2.0") {
      report("license", "the first line is not the SPDX line");
    }
    if (std::find(h.lines.begin(), h.lines.end(), "#pragma once") == h.lines.end()) {
      report("once", "no #pragma once");
    }
    if (h.lines.size() > 400) {
      report("length", std::to_string(h.lines.size()) + " lines: this is two things");
    }
    for (const std::string& name : h.quoted) {
      report("quotes", "\"" + name + "\" must be <xmoe/...>");
    }

    const bool interop = room == "interop";
    const bool umbrella = rank->second >= ranks().at("xmoe.hpp");
    for (const std::string& name : h.angle) {
      const bool eigen = starts_with(name, "Eigen/") || starts_with(name, "unsupported/Eigen/");
      if (eigen && !interop && !starts_with(h.path, "backend/cpu/")) {
        report("eigen", "<" + name + "> outside of backend/cpu and interop");
      }
      const bool pool = starts_with(h.path, "backend/cpu/") && name == "thread";
      if (heavy.count(name) > 0 && !interop && !pool && !apart(h.path)) {
        report("heavy", "<" + name + "> costs every user compile time");
      }
      if (!starts_with(name, "xmoe/")) {
        continue;
      }
      const std::string target = name.substr(5);
      if (by_path.count(target) == 0) {
        report("missing", "<" + name + "> does not exist");
        continue;
      }
      if (ends_with(target, ".cuh") && ends_with(h.path, ".hpp")) {
        report("cuda", "a .hpp includes <" + name + ">");
      }
      const std::string other = room_of(target);
      if (other != room && ranks().count(other) > 0 && ranks().at(other) >= rank->second) {
        report("order", room + " must not see " + other + ": <" + name + ">");
      }
    }

    // Leaf folder = namespace; a file that holds a family of small policies may use its own name.
    const std::string base = "namespace xmoe::inline XMOE_ABI";
    const std::string leaf = namespace_of(h.path);
    const std::string folder = leaf.empty() ? base : base + "::" + leaf;
    const std::string family = base + "::" + fs::path(h.path).stem().string();
    bool found = false;
    bool opens = false;
    for (const std::string& line : h.lines) {
      opens = opens || starts_with(line, "namespace ");
      found = found || line == folder + " {" || starts_with(line, folder + "::") ||
              line == family + " {" || (!leaf.empty() && line == "namespace " + leaf + " {");
    }
    if (!umbrella && opens && !found) {
      report("namespace", "must open `" + folder + " {`");
    }
  }

  // Everything that runs on a CPU with Eigen alone is reached from the umbrella header, and the
  // CUDA backend from its own.
  const auto reached_from = [&](const std::string& umbrella) {
    std::set<std::string> reached;
    std::vector<std::string> next = {umbrella};
    while (!next.empty()) {
      const std::string path = next.back();
      next.pop_back();
      if (!reached.insert(path).second || by_path.count(path) == 0) {
        continue;
      }
      for (const std::string& name : by_path[path]->angle) {
        if (starts_with(name, "xmoe/")) {
          next.push_back(name.substr(5));
        }
      }
    }
    return reached;
  };
  for (const auto& [umbrella, ending] : {std::pair<std::string, std::string>("xmoe.hpp", ".hpp"),
                                         std::pair<std::string, std::string>("cuda.cuh", ".cuh")}) {
    if (by_path.count(umbrella) == 0) {
      continue;
    }
    const std::set<std::string> reached = reached_from(umbrella);
    for (const Header& h : headers) {
      const bool apart_on_purpose = room_of(h.path) == "interop" || apart(h.path);
      if (ends_with(h.path, ending) && !apart_on_purpose && reached.count(h.path) == 0) {
        findings.push_back({"umbrella", h.path, "not reached from <xmoe/" + umbrella + ">"});
      }
    }
  }
  return findings;
}

}  // namespace tree
