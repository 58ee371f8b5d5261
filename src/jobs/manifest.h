// SPDX-License-Identifier: Apache-2.0
// SageMaker's two manifests, read and checked. Whoever can write objects can write a manifest: sizes are bounded, and
// nothing in it leads out of the channel, or from S3 to this machine's files.
//
// ManifestFile:          [{"prefix": "s3://bucket/some/prefix/"}, "relative/1", "relative/2"]
// AugmentedManifestFile: JSON Lines; {"image-ref": "s3://bucket/1.jpg", "is-a-cat": 1}
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "env/object_store.h"
#include "jobs/services.h"

namespace leat::jobs {

inline constexpr uint64_t kManifestBytesMax = 64u << 20;
inline constexpr uint64_t kAugmentedManifestBytesMax = 256u << 20;
inline constexpr size_t kManifestLineBytesMax = 1u << 20;

// The object `uri`, which lies in `store`, in memory. Blocking. kInvalidArgument: it is larger than `bytes_max`.
Result<std::string> ReadManifestObject(env::ObjectStore& store, const std::string& uri, uint64_t bytes_max,
                                       const StopCheck& stopped);

struct Manifest {
  std::string prefix;                 // "s3://bucket/..." or "file:///..."; with a suffix behind it, an object
  std::vector<std::string> suffixes;  // never empty, absolute, or with ".."
};
// `uri`: the manifest's own, for messages, and because only one on this machine may name files of this machine.
Result<Manifest> ParseManifest(std::string_view text, const std::string& uri);

// One attribute of a line, to be fed.
struct ManifestAttribute {
  bool is_reference = false;  // `value` is the URI of an object, whose bytes are meant
  std::string value;          // else the JSON text of the value, as the line has it
};

// An augmented manifest in memory. Immutable; any thread.
class AugmentedManifest {
 public:
  // Checks every line: each has all attributes, and its references are URIs. Messages name the line, counted from 1.
  static Result<AugmentedManifest> Parse(std::string text, const std::string& uri,
                                         const std::vector<std::string>& attribute_names);
  size_t line_count() const { return lines_.size(); }
  // In the order of the names. `line` counts from 0, empty lines left out.
  std::vector<ManifestAttribute> Line(size_t line) const;
  // The repositories of all references, each once, sorted.
  const std::vector<std::string>& repositories() const { return repositories_; }

 private:
  struct Extent {
    uint32_t begin = 0, bytes = 0;
  };
  Result<std::vector<ManifestAttribute>> Read(std::string_view line) const;

  std::string text_;
  bool is_local_ = false;
  std::vector<std::string> attribute_names_;
  std::vector<Extent> lines_;
  std::vector<std::string> repositories_;
};

// Where the object of a reference lies: as LocationOfObject (jobs/channel.h), but all files of this machine are in one
// repository, "file:///".
struct ReferenceLocation {
  std::string repository, key;
};
ReferenceLocation LocationOfReference(const std::string& uri);

}  // namespace leat::jobs
