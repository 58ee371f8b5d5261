// SPDX-License-Identifier: Apache-2.0
// What of a model or of output data goes to its repository file by file, as CompressionType NONE has it: there are no
// links. Blocking; any thread.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace leat::jobs {

struct ArtifactFiles {
  struct File {
    std::string name;  // below the directory
    std::string path;  // of the bytes: the file itself, or the one in the directory that a link leads to
  };
  std::vector<File> files;
  std::vector<std::string> left_out;  // names: links that lead elsewhere or to no file, pipes, sockets, devices
};
// `directory`: the host's of /opt/ml/model or /opt/ml/output/data; absolute links are the script's.
Result<ArtifactFiles> ArtifactFilesIn(const std::string& directory);
// For a warning, with the first names of `left_out`; empty: nothing is.
std::string LeftOutText(const std::string& directory_of_script, const std::vector<std::string>& left_out);

}  // namespace leat::jobs
