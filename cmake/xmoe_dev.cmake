# SPDX-License-Identifier: Apache-2.0
# xmoe_dev: warnings as errors and the instruction set of this machine. Never exported.
add_library(xmoe_dev INTERFACE)
target_link_libraries(xmoe_dev INTERFACE xmoe::xmoe)
target_compile_options(xmoe_dev INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wsign-conversion -Werror
  # g++ 12 raises false alarms inside its own AVX-512 headers as soon as Eigen uses them
  $<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>
  $<$<BOOL:${XMOE_NATIVE}>:-march=native>)
target_compile_definitions(xmoe_dev INTERFACE $<$<BOOL:${XMOE_CHECKED}>:XMOE_CHECKED>)
