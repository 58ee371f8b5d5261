// SPDX-License-Identifier: Apache-2.0
#include "jobs/artifact_files.h"

#include <algorithm>
#include <filesystem>

namespace leat::jobs {
namespace {

namespace fs = std::filesystem;

constexpr size_t kNamesToldMax = 10;

// The regular file in `root` (canonical) that a link leads to; empty: there is none.
std::string FileBehind(const fs::path& link, const fs::path& root) {
  std::error_code error;
  fs::path target = fs::read_symlink(link, error);
  if (error) return "";
  for (const std::string part : {"/model", "/output/data"}) {
    const std::string seen_as = "/opt/ml" + part + "/";
    if (root.string().ends_with(part) && target.string().starts_with(seen_as))
      target = root / target.string().substr(seen_as.size());
  }
  const fs::path behind = fs::canonical(target.is_absolute() ? target : link.parent_path() / target, error);
  if (error || !behind.string().starts_with(root.string() + "/")) return "";
  return fs::is_regular_file(behind, error) ? behind.string() : "";
}

}  // namespace

Result<ArtifactFiles> ArtifactFilesIn(const std::string& directory) {
  ArtifactFiles found;
  std::error_code error;
  const fs::path root = fs::canonical(directory, error);
  for (fs::recursive_directory_iterator i(directory, error), end; !error && i != end; i.increment(error)) {
    std::error_code ignored;  // what went away meanwhile is left out
    const fs::file_status status = i->symlink_status(ignored);
    if (fs::is_directory(status)) continue;
    const std::string name = i->path().lexically_relative(directory).string();
    const std::string path = fs::is_regular_file(status) ? i->path().string()
                             : fs::is_symlink(status)    ? FileBehind(i->path(), root)
                                                         : "";
    if (path.empty()) {
      found.left_out.push_back(name);
    } else {
      found.files.push_back({name, path});
    }
  }
  if (error) return Fail(ErrorCode::kIo, directory + ": " + error.message());
  return found;
}

std::string LeftOutText(const std::string& directory_of_script, const std::vector<std::string>& left_out) {
  if (left_out.empty()) return "";
  std::string names;
  for (size_t i = 0; i < std::min(left_out.size(), kNamesToldMax); ++i) names += (i == 0 ? "" : ", ") + left_out[i];
  if (left_out.size() > kNamesToldMax) names += " and " + std::to_string(left_out.size() - kNamesToldMax) + " more";
  return "left out of what is uploaded from " + directory_of_script + ": " + names +
         " (no regular files, nor links to some there; CompressionType GZIP keeps links)";
}

}  // namespace leat::jobs
