// SPDX-License-Identifier: Apache-2.0
// expect: the slot is wrong
#if defined(XMOE_BAD)
static_assert(sizeof(int) == 0, "the size is wrong");
#endif
