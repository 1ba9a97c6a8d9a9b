// SPDX-License-Identifier: Apache-2.0
// expect: .
int number = 1;
