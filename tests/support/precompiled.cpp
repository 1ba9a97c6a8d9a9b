// SPDX-License-Identifier: Apache-2.0
// Nothing: the source for which the shared precompiled header is made.
