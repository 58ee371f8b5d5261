// SPDX-License-Identifier: Apache-2.0
// libfuse's low-level interface at the version that both Debian 12 (3.14) and 13 (3.17) offer.
#pragma once

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
