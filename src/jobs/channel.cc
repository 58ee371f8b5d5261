// SPDX-License-Identifier: Apache-2.0
#include "jobs/channel.h"

#include <algorithm>

#include "base/check.h"
#include "base/random.h"
#include "jobs/manifest.h"
#include "jobs/stoppable.h"
#include "jobs/transfer.h"

namespace leat::jobs {
namespace {

tl::unexpected<Error> TooMany(const std::string& uri) {
  return Fail(ErrorCode::kNotSupported, uri + " has more than " + std::to_string(kChannelObjectsMax) +
                                            " objects, and a list of them must fit into memory; split the channel, or "
                                            "use a FileSystemDataSource");
}

Result<ChannelListing> ListWholePrefix(OpenRepositories& repositories, const std::string& uri,
                                       const StopCheck& stopped) {
  ChannelListing listing;
  listing.repository_url = LocationOf(uri).repository;
  LEAT_ASSIGN_OR_RETURN(listing.store, repositories.Of(listing.repository_url));
  auto& objects = listing.objects;
  LEAT_RETURN_IF_ERROR(ListPrefix(*listing.store, uri, stopped, [&](ObjectInfo& object) -> Status {
    if (objects.size() == kChannelObjectsMax) return TooMany(uri);
    objects.push_back({std::move(object.key), std::move(object.etag), object.size_bytes});
    return {};
  }));
  // S3 lists in the order of keys; not everything that speaks its language does, and all hosts must agree.
  const auto before = [](const ChannelObject& a, const ChannelObject& b) { return a.key < b.key; };
  if (!std::is_sorted(objects.begin(), objects.end(), before)) std::sort(objects.begin(), objects.end(), before);
  const auto same = [](const ChannelObject& a, const ChannelObject& b) { return a.key == b.key; };
  objects.erase(std::unique(objects.begin(), objects.end(), same), objects.end());
  return listing;
}

Result<ChannelListing> ListManifest(OpenRepositories& repositories, const std::string& uri, const StopCheck& stopped) {
  const ObjectLocation place = LocationOfObject(uri);
  LEAT_ASSIGN_OR_RETURN(env::ObjectStore * store, repositories.Of(place.repository));
  LEAT_ASSIGN_OR_RETURN(const std::string text, ReadManifestObject(*store, uri, kManifestBytesMax, stopped));
  LEAT_ASSIGN_OR_RETURN(Manifest manifest, ParseManifest(text, uri));
  const ObjectLocation prefix = LocationOfObject(manifest.prefix);
  ChannelListing listing;
  listing.repository_url = prefix.repository;
  listing.manifest_prefix_bytes = prefix.key.size();
  LEAT_ASSIGN_OR_RETURN(listing.store, repositories.Of(prefix.repository));
  listing.objects.reserve(manifest.suffixes.size());
  for (auto& suffix : manifest.suffixes) listing.objects.push_back({prefix.key + suffix, "", std::nullopt});
  return listing;
}

}  // namespace

ObjectLocation LocationOfObject(const std::string& uri) {
  if (uri.rfind("file://", 0) != 0) {
    RepositoryLocation location = LocationOf(uri);
    return {std::move(location.repository), std::move(location.key)};
  }
  const size_t slash = uri.rfind('/');
  return {slash <= 7 ? "file:///" : uri.substr(0, slash), uri.substr(slash + 1)};
}

Result<env::ObjectStore*> OpenRepositories::Of(const std::string& repository_url) {
  {
    std::lock_guard lock(mutex_);
    if (const auto found = repositories_.find(repository_url); found != repositories_.end()) {
      return found->second.store.get();
    }
    if (repositories_.size() == kChannelRepositoriesMax) {
      return Fail(ErrorCode::kInvalidArgument,
                  "the channel's manifest refers to more than " + std::to_string(kChannelRepositoriesMax) +
                      " buckets or directories, the last of them " + repository_url + "; bring the data together");
    }
  }
  LEAT_ASSIGN_OR_RETURN(Repository repository, factory_.Open(repository_url, connections_));
  std::lock_guard lock(mutex_);
  return repositories_.emplace(repository_url, std::move(repository)).first->second.store.get();
}

FileSystemCounters OpenRepositories::Counters() const {
  FileSystemCounters total;
  std::lock_guard lock(mutex_);
  for (const auto& [url, repository] : repositories_) {
    if (!repository.counters) continue;
    for (size_t i = 0; i < total.requests.size(); ++i) total.requests[i] += repository.counters->requests[i].load();
    total.bytes_received += repository.counters->bytes_received.load();
  }
  return total;
}

Status ListPrefix(env::ObjectStore& store, const std::string& uri, const StopCheck& stopped,
                  const std::function<Status(ObjectInfo& object)>& each) {
  env::ListRequest request;
  request.prefix = LocationOf(uri).key;
  for (;;) {
    LEAT_ASSIGN_OR_RETURN(auto page, AwaitUnlessStopped<env::ListPage>(
                                         stopped, [&](auto done) { store.List(request, std::move(done)); }));
    for (auto& object : page.objects) {
      if (object.size_bytes == 0 && !object.key.empty() && object.key.back() == '/') continue;
      LEAT_RETURN_IF_ERROR(each(object));
    }
    if (page.next_token.empty()) return {};
    if (page.next_token == request.continuation_token) {
      return Fail(ErrorCode::kProtocol, "the listing of " + uri + " does not go on: its pages repeat themselves");
    }
    request.continuation_token = std::move(page.next_token);
  }
}

tl::unexpected<Error> NoObjectsBelow(const std::string& uri) {
  return Fail(ErrorCode::kNotFound,
              "No S3 objects found under S3 URL \"" + uri +
                  "\" given in input data source. Please ensure that the bucket exists, that objects "
                  "exist under that S3 prefix, and that you may list them");
}

Result<ChannelListing> ListChannel(OpenRepositories& repositories, const Channel& channel, const StopCheck& stopped) {
  const S3Source& source = *channel.s3;
  LEAT_CHECK(source.type != S3DataType::kAugmentedManifest);
  auto listing = source.type == S3DataType::kManifest ? ListManifest(repositories, source.uri, stopped)
                                                      : ListWholePrefix(repositories, source.uri, stopped);
  if (listing && listing->objects.empty()) return NoObjectsBelow(source.uri);
  return listing;
}

std::vector<uint32_t> OrderOf(size_t count, const Channel& channel, HostShare share, uint64_t epoch) {
  LEAT_CHECK(count <= kChannelObjectsMax && share.index < share.count);
  std::vector<uint32_t> order(count);
  for (size_t i = 0; i < count; ++i) order[i] = static_cast<uint32_t>(i);
  if (channel.shuffle_seed) {
    Random random(static_cast<uint64_t>(*channel.shuffle_seed) + epoch);
    Shuffle(order, random);
  }
  if (!channel.s3->is_sharded) return order;
  size_t kept = 0;
  for (size_t i = share.index; i < count; i += share.count) order[kept++] = order[i];
  order.resize(kept);
  return order;
}

}  // namespace leat::jobs
