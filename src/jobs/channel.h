// SPDX-License-Identifier: Apache-2.0
// What an S3 channel consists of, and which host of a job gets what of it: SageMaker's S3Prefix and ManifestFile,
// ShardedByS3Key and ShuffleConfig. (An AugmentedManifestFile is made of lines, not of objects: jobs/manifest.h.)
//
//   OpenRepositories repositories(factory, 32);
//   LEAT_ASSIGN_OR_RETURN(const ChannelListing listing, ListChannel(repositories, channel, stopped));
//   for (const uint32_t i : OrderOf(listing.objects.size(), channel, share, epoch)) Use(listing.objects[i]);
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "jobs/services.h"
#include "model/training_job.h"

namespace leat::jobs {

// Most objects, or lines of an augmented manifest, of a channel whose list is held in memory.
inline constexpr size_t kChannelObjectsMax = 10'000'000;
// Most repositories that the manifest of one channel may refer to.
inline constexpr size_t kChannelRepositoriesMax = 16;

struct HostShare {  // of a job: which host this is, and how many there are
  uint32_t index = 0, count = 1;
};

struct ChannelObject {
  std::string key;
  std::string etag;                    // empty: not known, as of a manifest's entries
  std::optional<uint64_t> size_bytes;  // absent: not known
};

// The repositories of one channel, each opened once, and what they have asked for together. Any thread; Of may block.
class OpenRepositories {
 public:
  OpenRepositories(RepositoryFactory& factory, unsigned connections) : factory_(factory), connections_(connections) {}
  // The store lives as long as this object. kInvalidArgument: more than kChannelRepositoriesMax.
  Result<env::ObjectStore*> Of(const std::string& repository_url);
  FileSystemCounters Counters() const;

 private:
  RepositoryFactory& factory_;
  const unsigned connections_;
  mutable std::mutex mutex_;
  std::map<std::string, Repository> repositories_;  // protected by mutex_
};

struct ChannelListing {
  std::string repository_url;         // of all of them
  env::ObjectStore* store = nullptr;  // the OpenRepositories' own
  // In the order of their keys; of a manifest, in its order.
  std::vector<ChannelObject> objects;
  size_t manifest_prefix_bytes = 0;  // of a manifest: how much of each key is its prefix
};

// All objects of a channel, for all hosts. Blocking. kNotFound: there are none, in the service's words.
Result<ChannelListing> ListChannel(OpenRepositories& repositories, const Channel& channel, const StopCheck& stopped);

// The places in the channel's list of `count` that a host gets in an epoch, in the order in which it gets them. With a
// ShuffleConfig, each epoch has an order of its own, made across hosts: together, the hosts of an epoch get everything
// once. Pure. `count` is at most kChannelObjectsMax.
std::vector<uint32_t> OrderOf(size_t count, const Channel& channel, HostShare share, uint64_t epoch);

// Calls `each` for everything below `uri`, page by page as it is listed, but for folder markers (of no bytes, the name
// ending in '/'); ends with its first failure. Blocking.
Status ListPrefix(env::ObjectStore& store, const std::string& uri, const StopCheck& stopped,
                  const std::function<Status(ObjectInfo& object)>& each);
// The service's words for a channel of no objects.
tl::unexpected<Error> NoObjectsBelow(const std::string& uri);

// "s3://bucket/some/key" -> {"s3://bucket", "some/key"}; "file:///d/e" -> {"file:///d", "e"}: an object's own place,
// where LocationOf (jobs/transfer.h) takes a file:// URI for a directory.
struct ObjectLocation {
  std::string repository, key;
};
ObjectLocation LocationOfObject(const std::string& uri);

}  // namespace leat::jobs
