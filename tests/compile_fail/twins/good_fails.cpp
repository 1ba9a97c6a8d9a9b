// SPDX-License-Identifier: Apache-2.0
// expect: .
static_assert(false, "never compiles");
