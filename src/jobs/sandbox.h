// SPDX-License-Identifier: Apache-2.0
// A job's own view of the machine, by bubblewrap: everything is there, and /opt/ml is the job's. Any thread.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace leat::jobs {

struct SandboxView {
  std::string job_directory;  // becomes /opt/ml
  // Directory of the machine -> path in the view.
  std::vector<std::pair<std::string, std::string>> read_only, writable;
  std::string working_directory;
  std::string hosts_file;           // becomes /etc/hosts; empty: the machine's
  std::vector<std::string> hidden;  // directories of the machine that are empty there
};

// Writes the machine's /etc/hosts to `path`, and with it the names that a job knows its hosts by, all of them this
// machine. False: this machine's is no plain file that another could be bound over.
Result<bool> WriteHostsFile(const std::string& path, const std::vector<std::string>& hosts);

// Where the AWS configuration and credentials of the one with that environment (NAME=value) are by default, as far as
// such directories exist; links are followed.
std::vector<std::string> AwsDirectories(const std::vector<std::string>& environment);

// The arguments that run `command` in that view; `seccomp_fd` below zero: without a filter.
std::vector<std::string> SandboxArguments(const SandboxView& view, int seccomp_fd,
                                          const std::vector<std::string>& command);

// A descriptor to read a seccomp filter from, for bwrap --seccomp: it answers ENOTTY to ioctl(TCGETS), which Python's
// open() calls on every file and which a FUSE file system would have to be asked. A job has no terminal, so the answer
// is true; a script that makes a pseudo-terminal of its own finds it is none. Invalid on processors other than x86_64
// and aarch64.
Result<FileDescriptor> OpenTerminalFilter();

// Whether bubblewrap is there and may make namespaces; the error says what to do.
Status CheckSandbox();

}  // namespace leat::jobs
