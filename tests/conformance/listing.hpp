// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

/// Compares the headers of a tree with the lists of policies and with the tests that mirror them.
namespace listing {

namespace fs = std::filesystem;

/// Paths of all headers below `root`/include/xmoe/`room`, relative to include/xmoe, sorted.
inline std::vector<std::string> headers(const fs::path& root, const std::string& room,
                                        const std::string& extension = ".hpp") {
  std::vector<std::string> found;
  const fs::path top = root / "include" / "xmoe";
  if (fs::exists(top / room)) {
    for (const auto& entry : fs::recursive_directory_iterator(top / room)) {
      if (entry.is_regular_file() && entry.path().extension() == extension) {
        found.push_back(fs::relative(entry.path(), top).generic_string());
      }
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// Policies of a slot: folder -> stems in the conformance list.
using Lists = std::map<std::string, std::set<std::string>>;

/// Policy headers that no list names, and names in lists that have no header.
inline std::vector<std::string> unlisted(const fs::path& root, const Lists& lists,
                                         const std::set<std::string>& no_policies) {
  std::vector<std::string> problems;
  for (const auto& [folder, stems] : lists) {
    std::set<std::string> seen;
    for (const std::string& path : headers(root, folder)) {
      const std::string stem = fs::path(path).stem().string();
      seen.insert(stem);
      if (no_policies.count(path) == 0 && stems.count(stem) == 0) {
        problems.push_back(path + " is in no conformance list");
      }
    }
    for (const std::string& stem : stems) {
      if (seen.count(stem) == 0) {
        problems.push_back(folder + " has no header for the list's " + stem);
      }
    }
  }
  for (const std::string& path : no_policies) {
    if (!fs::exists(root / "include" / "xmoe" / path)) {
      problems.push_back("the exception " + path + " does not exist");
    }
  }
  return problems;
}

/// A folder of headers below include/xmoe and the folder below tests that mirrors it.
struct Room {
  std::string folder;
  std::string tests = folder;
  std::string extension = ".hpp";
};

/// Headers of the rooms without <tests>/<path>_test.cpp, and tests in these rooms without a header;
/// `no_mirrors`: tests that mirror none. Exceptions that are none any more are problems too.
inline std::vector<std::string> unmirrored(const fs::path& root, const std::vector<Room>& rooms,
                                           const std::map<std::string, std::string>& elsewhere,
                                           const std::set<std::string>& no_mirrors = {}) {
  std::vector<std::string> problems;
  for (const Room& room : rooms) {
    for (const std::string& path : headers(root, room.folder, room.extension)) {
      const std::string below =
          path.substr(room.folder.size(), path.size() - room.folder.size() - room.extension.size());
      const auto other = elsewhere.find(path);
      const fs::path wanted =
          root / "tests" /
          (other == elsewhere.end() ? room.tests + below + "_test.cpp" : other->second);
      if (!fs::exists(wanted)) {
        problems.push_back(path + " has no test " + fs::relative(wanted, root).generic_string());
      }
    }
    if (!fs::exists(root / "tests" / room.tests)) {
      continue;
    }
    for (const auto& entry : fs::recursive_directory_iterator(root / "tests" / room.tests)) {
      const std::string path = fs::relative(entry.path(), root / "tests").generic_string();
      const std::string end = "_test.cpp";
      if (path.size() > end.size() && path.substr(path.size() - end.size()) == end &&
          no_mirrors.count(path) == 0) {
        const std::string header =
            room.folder +
            path.substr(room.tests.size(), path.size() - room.tests.size() - end.size()) +
            room.extension;
        if (!fs::exists(root / "include" / "xmoe" / header)) {
          problems.push_back("tests/" + path + " has no header " + header);
        }
      }
    }
  }
  for (const std::string& path : no_mirrors) {
    if (!fs::exists(root / "tests" / path)) {
      problems.push_back("the exception tests/" + path + " does not exist");
    }
  }
  return problems;
}

}  // namespace listing
