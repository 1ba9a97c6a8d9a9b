// SPDX-License-Identifier: Apache-2.0
// expect: the size is wrong
// errors: 1
#if defined(XMOE_BAD)
static_assert(sizeof(int) == 0, "the size is wrong");
static_assert(sizeof(long) == 0, "the size is wrong");
static_assert(sizeof(short) == 0, "the size is wrong");
#endif
