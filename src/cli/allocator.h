// SPDX-License-Identifier: Apache-2.0
// The C library's allocator, held to the memory budget: by itself it keeps what large buffers once took, in an arena
// for every two threads. Does nothing with an allocator other than glibc's. Threads: any.
#pragma once

namespace leat::cli {

void LimitAllocator();      // once, before threads are started
void GiveBackFreeMemory();  // takes milliseconds

}  // namespace leat::cli
