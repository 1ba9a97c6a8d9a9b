// SPDX-License-Identifier: Apache-2.0
#include "layer.hpp"

#include <cstdio>

double other();

int main() {
  std::printf("main %.9g\n", step());
  std::printf("other %.9g\n", other());
}
