// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "row.hpp"

namespace xmoe_bench {

/// What was measured on. Write and copy are told, no row is judged by them.
struct Machine {
  std::string processor;
  std::string compiler;
  int vector_bytes = 0;
  int hardware_threads = 1;
  bool bf16_products = false;  ///< by an instruction of their own
  int threads = 1;             ///< of the limits below
  double f32_gflops = 0.0;
  double bf16_gflops = 0.0;
  double read_gbytes = 0.0;
  double write_gbytes = 0.0;
  double copy_gbytes = 0.0;
};
/// Measures the limits, a second or so.
Machine look_at_machine(std::ptrdiff_t threads);

/// Names of the rivals in the order of columns and bars.
inline constexpr const char* rival_names[] = {"eigen", "dnnl", "xsmm", "torch", "dense"};
/// For people.
const char* rival_title(const std::string& name);

void print_machine(const Machine& machine);
/// The table's header; then row by row.
void print_header();
void print(const Row& row);

/// A JSON list of objects, one a row. False if the file cannot be written.
bool write_json(const std::string& path, const Machine& machine, const std::vector<Row>& rows);
/// One page with charts, complete in itself. False if the file cannot be written.
bool write_html(const std::string& path, const Machine& machine, const std::vector<Row>& rows);

}  // namespace xmoe_bench
