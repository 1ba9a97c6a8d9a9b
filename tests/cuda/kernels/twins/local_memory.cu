// SPDX-License-Identifier: Apache-2.0
// A kernel that check has to refuse: an array of sums, indexed by what only the run decides, lies
// in local memory. (twins.cpp)

template <class S>
__global__ void local_memory_kernel(const S* from, const int* where, S* to, int count) {
  S sums[16] = {};
  for (int i = 0; i < count; ++i) {
    sums[where[i] & 15] += from[i];
  }
  for (int i = 0; i < 16; ++i) {
    to[i] = sums[i];
  }
}
template __global__ void local_memory_kernel(const float*, const int*, float*, int);
