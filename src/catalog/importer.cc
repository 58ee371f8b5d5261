// SPDX-License-Identifier: Apache-2.0
#include "catalog/importer.h"

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/text.h"
#include "catalog/listing.h"
#include "catalog/mailbox.h"
#include "catalog/tree_cursor.h"
#include "model/key_rules.h"
#include "model/posix_metadata.h"

namespace leat::catalog {
namespace {

using Done = std::function<void(Status)>;
using Priority = Mailbox::Priority;

constexpr uint32_t kHeadsPerList = 4;  // HEADs are cheap for the server: so many times lists_in_flight_max
constexpr int kHeadFailuresMax = 100;  // then a POSIX import gives up
constexpr uint32_t kKeysToFindLongName = 1000;
constexpr uint32_t kEmptyPagesMax = 1000;    // of a look-up; S3 sends some where versions were deleted
constexpr int kInodesPerTurn = 1000;         // of a POSIX import, before other work gets its turn
constexpr size_t kSettledKeysMax = 100'000;  // far more than are refreshed during one listing

void CallAll(std::vector<Done> waiting, const Status& status) {
  for (auto& done : waiting) done(status);
}

// The whole of a small object.
class SymlinkBody final : public env::GetReceiver {
 public:
  explicit SymlinkBody(std::function<void(Status, std::string)> done) : done_(std::move(done)) {}
  void OnStart(const ObjectInfo&) override {}
  void OnData(std::span<const std::byte> bytes) override {
    body_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  void OnDone(Status status) override { done_(std::move(status), std::move(body_)); }

 private:
  std::function<void(Status, std::string)> done_;
  std::string body_;
};

// All state but the mailbox, the options and the progress is confined to thread_.
class ImporterImplementation final : public Importer {
 public:
  ImporterImplementation(ImporterOptions options, Catalog& catalog, env::ObjectStore& store, const env::Clock& clock)
      : options_(options), catalog_(catalog), store_(store), clock_(clock) {}
  ~ImporterImplementation() override;
  void StartThread() {
    thread_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "leat-import");
      Mailbox::Message message;
      while (mailbox_->Take(message)) {
        message();
        message = nullptr;
      }
    });
  }

  void LookUpName(InodeId directory, const std::string& name, Done done) override {
    Ask([this, directory, name](Done wrapped) { StartLookUp(directory, name, std::move(wrapped)); }, std::move(done));
  }
  void ListDirectory(InodeId directory, Done done) override {
    Ask([this, directory](Done wrapped) { StartList(directory, std::move(wrapped)); }, std::move(done));
  }
  void WaitForImport(Done done) override {
    Ask(
        [this](Done wrapped) {
          if (catalog_.Totals().complete) return wrapped({});
          if (!imports_.empty() && imports_.front().directory == kRootInode) {
            return imports_.front().waiting.push_back(std::move(wrapped));
          }
          EnqueueImport(kRootInode, false, std::move(wrapped));
        },
        std::move(done));
  }
  void Import(InodeId directory, bool posix, Done done) override {
    Ask([this, directory, posix](Done wrapped) { EnqueueImport(directory, posix, std::move(wrapped)); },
        std::move(done));
  }
  void RefreshObject(InodeId file, Done done) override {
    Ask([this, file](Done wrapped) { StartRefresh(file, std::move(wrapped)); }, std::move(done));
  }
  const ImportProgress& Progress() const override { return progress_; }

 private:
  struct LookUp {
    std::vector<Done> waiting;
    int answers_missing = 0;
    Status status;
    std::vector<ObjectInfo> objects;
    std::vector<std::string> prefixes;
  };
  struct DirectoryList {
    std::vector<Done> waiting;
    std::shared_ptr<Listing> listing;
  };
  struct ImportJob {
    InodeId directory{};
    bool posix = false;
    std::vector<Done> waiting;
    std::shared_ptr<Listing> listing;
    std::unique_ptr<Catalog::SeenSet> seen;
    std::unique_ptr<Catalog::Sweep> sweep;
    uint64_t mark = 0;
    // the HEADs of a POSIX import
    std::unique_ptr<TreeCursor> cursor;
    uint32_t heads_in_flight = 0;
    int failures = 0;
    Status status;
  };
  using NameKey = std::pair<uint64_t, std::string>;

  void Ask(std::function<void(Done)> start, Done done) {
    mailbox_->Post(Priority::kDemand, [this, start = std::move(start), done = std::move(done)] {
      if (stopping_) return done(Fail(ErrorCode::kCancelled, "the file system is stopping"));
      start(done);
    });
  }
  // Runs `then` on the importer's thread with what a request of the store ends in.
  template <class T, class Then>
  env::Callback<T> OnThread(Priority priority, Then then) {
    return [this, mailbox = mailbox_, priority, then](Result<T> result) {
      auto shared = std::make_shared<Result<T>>(std::move(result));
      mailbox->Post(priority, [this, then, shared] {
        if (!stopping_) then(std::move(*shared));
      });
    };
  }

  void StartLookUp(InodeId directory, const std::string& name, Done done);
  void SendLookUpList(const NameKey& name, env::ListRequest request, bool exact, uint32_t pages_left);
  void FinishLookUp(const NameKey& name);
  void StartList(InodeId directory, Done done);
  void FinishList(InodeId directory, Status status);
  void EnqueueImport(InodeId directory, bool posix, Done done);
  void StartNextImport();
  void ImportListed(Status status);
  void SweepOn();
  void Swept(Status status);
  void PumpHeads();
  void FinishImport(Status status);
  void StartRefresh(InodeId file, Done done);
  void FetchMetadata(const Inode& file, Priority priority, Done done);
  Status CountPage(const env::ListPage& page, Catalog::SeenSet* seen);
  Status UpsertListed(const std::vector<ObjectInfo>& objects, const std::vector<std::string>& prefixes,
                      Catalog::SeenSet* seen);
  void Settle(const std::string& key, std::optional<ObjectInfo> info);
  bool ListingsRun() const {
    return !lookups_.empty() || !lists_.empty() || (!imports_.empty() && imports_.front().listing);
  }
  void ForgetSettled() {
    if (!ListingsRun()) settled_.clear();
  }

  const ImporterOptions options_;
  Catalog& catalog_;
  env::ObjectStore& store_;
  const env::Clock& clock_;
  const std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
  ImportProgress progress_;
  bool stopping_ = false;  // set after the thread has ended
  std::map<NameKey, LookUp> lookups_;
  std::map<uint64_t, DirectoryList> lists_;
  std::map<uint64_t, std::vector<Done>> refreshes_;
  std::deque<ImportJob> imports_;  // the first one runs
  // What a HEAD has told while listings run, nothing: gone. A page that was listed before it may be applied after it
  // and must not bring the older version back.
  std::unordered_map<std::string, std::optional<ObjectInfo>> settled_;
  std::thread thread_;
};

ImporterImplementation::~ImporterImplementation() {
  mailbox_->Stop();
  thread_.join();
  stopping_ = true;
  mailbox_->Close();
  const Status cancelled = Fail(ErrorCode::kCancelled, "the file system is stopping");
  for (Mailbox::Message message; mailbox_->TryTake(message);) message();
  for (auto& [name, lookup] : std::exchange(lookups_, {})) CallAll(std::move(lookup.waiting), cancelled);
  for (auto& [id, list] : std::exchange(lists_, {})) CallAll(std::move(list.waiting), cancelled);
  for (auto& [id, waiting] : std::exchange(refreshes_, {})) CallAll(std::move(waiting), cancelled);
  for (auto& job : std::exchange(imports_, {})) CallAll(std::move(job.waiting), cancelled);
}

// --- one name

void ImporterImplementation::StartLookUp(InodeId directory, const std::string& name, Done done) {
  const NameKey key{Value(directory), name};
  if (const auto found = lookups_.find(key); found != lookups_.end()) {
    found->second.waiting.push_back(std::move(done));
    return;
  }
  const auto inode = catalog_.Get(directory);
  const auto root = catalog_.Get(kRootInode);
  if (!inode || !root) return done(Fail((inode ? root : inode).error()));
  if (inode->listed || inode->removed) return done({});
  std::vector<std::string> names;
  if (directory != kRootInode) names = Split(catalog_.PathOf(directory), '/');
  names.push_back(name);
  const auto file_key = KeyOfPath(names, PathKind::kFile);
  const auto prefix = KeyOfPath(names, PathKind::kDirectory);
  if (!file_key && !prefix) return done({});  // no key has that name
  LookUp& lookup = lookups_[key];
  lookup.waiting.push_back(std::move(done));
  lookup.answers_missing = (file_key ? 1 : 0) + (prefix ? 1 : 0);
  const auto send = [&](const std::string& begin, bool exact, uint32_t keys_max) {
    env::ListRequest request;
    request.prefix = root->key + begin;
    request.keys_max = keys_max;
    SendLookUpList(key, std::move(request), exact, kEmptyPagesMax);
  };
  if (file_key) send(*file_key, true, 1);
  // The chunk of a long component may begin short keys as well: look a little further.
  if (prefix) send(*prefix, false, prefix->ends_with('/') ? 1 : kKeysToFindLongName);
}

void ImporterImplementation::SendLookUpList(const NameKey& name, env::ListRequest request, bool exact,
                                            uint32_t pages_left) {
  store_.List(request, OnThread<env::ListPage>(
                           Priority::kDemand, [this, name, request, exact, pages_left](Result<env::ListPage> page) {
                             LookUp& lookup = lookups_.at(name);
                             const std::string& prefix = request.prefix;
                             if (page && page->objects.empty() && !page->next_token.empty() && pages_left > 0) {
                               env::ListRequest next = request;
                               next.continuation_token = page->next_token;
                               return SendLookUpList(name, std::move(next), exact, pages_left - 1);
                             }
                             if (!page) {
                               lookup.status = Fail(std::move(page).error());
                             } else {
                               for (auto& object : page->objects) {
                                 if (!object.key.starts_with(prefix)) continue;
                                 if (!exact && prefix.ends_with('/')) lookup.prefixes = {prefix};
                                 // Of what is deeper, only that there is something counts, or else a listing would be
                                 // needed to know its neighbours.
                                 if (object.key == prefix || (!exact && !prefix.ends_with('/')))
                                   lookup.objects.push_back(std::move(object));
                               }
                             }
                             if (--lookup.answers_missing == 0) FinishLookUp(name);
                           }));
}

void ImporterImplementation::FinishLookUp(const NameKey& name) {
  LookUp lookup = std::move(lookups_.at(name));
  lookups_.erase(name);
  if (lookup.status) lookup.status = UpsertListed(lookup.objects, lookup.prefixes, nullptr);
  ForgetSettled();
  CallAll(std::move(lookup.waiting), lookup.status);
}

// --- one directory

void ImporterImplementation::StartList(InodeId directory, Done done) {
  if (const auto found = lists_.find(Value(directory)); found != lists_.end()) {
    found->second.waiting.push_back(std::move(done));
    return;
  }
  const auto inode = catalog_.Get(directory);
  if (!inode) return done(Fail(inode.error()));
  if (inode->type != FileType::kDirectory)
    return done(Fail(ErrorCode::kNotADirectory, "only a directory can be listed"));
  if (inode->listed || inode->removed) return done({});
  DirectoryList& list = lists_[Value(directory)];
  list.waiting.push_back(std::move(done));
  Listing::Options options{inode->key, "/", options_.lists_in_flight_max, Priority::kDemand};
  list.listing = std::make_shared<Listing>(
      std::move(options), store_, mailbox_, [this](const env::ListPage& page) { return CountPage(page, nullptr); },
      [this, directory](Status status) {
        // The object beside the directory has a key that its own listing does not hold.
        const auto listed = catalog_.Get(directory);
        const auto parent = listed ? catalog_.Get(listed->parent) : listed;
        if (!status || !parent || directory == kRootInode || parent->listed)
          return FinishList(directory, std::move(status));
        StartLookUp(directory, std::string(kObjectBesideDirectoryName),
                    [this, directory](Status looked_up) { FinishList(directory, std::move(looked_up)); });
      });
  const auto listing = list.listing;
  listing->Start();
}

void ImporterImplementation::FinishList(InodeId directory, Status status) {
  const auto found = lists_.find(Value(directory));
  if (found == lists_.end()) return;  // stopping
  DirectoryList list = std::move(found->second);
  lists_.erase(found);
  ForgetSettled();
  if (status) status = catalog_.MarkListed(directory);
  CallAll(std::move(list.waiting), status);
}

Status ImporterImplementation::CountPage(const env::ListPage& page, Catalog::SeenSet* seen) {
  ++progress_.pages;
  progress_.objects += page.objects.size();
  return UpsertListed(page.objects, page.common_prefixes, seen);
}

Status ImporterImplementation::UpsertListed(const std::vector<ObjectInfo>& objects,
                                            const std::vector<std::string>& prefixes, Catalog::SeenSet* seen) {
  const auto is_settled = [this](const ObjectInfo& object) { return settled_.contains(object.key); };
  if (settled_.empty() || std::none_of(objects.begin(), objects.end(), is_settled)) {
    return catalog_.Upsert(objects, prefixes, seen);
  }
  std::vector<ObjectInfo> now;
  now.reserve(objects.size());
  for (const ObjectInfo& object : objects) {
    const auto settled = settled_.find(object.key);
    if (settled == settled_.end()) {
      now.push_back(object);
    } else if (settled->second) {
      now.push_back(*settled->second);
    }
  }
  return catalog_.Upsert(now, prefixes, seen);
}

void ImporterImplementation::Settle(const std::string& key, std::optional<ObjectInfo> info) {
  if (ListingsRun() && settled_.size() < kSettledKeysMax) settled_.insert_or_assign(key, std::move(info));
}

// --- everything

void ImporterImplementation::EnqueueImport(InodeId directory, bool posix, Done done) {
  for (size_t i = 1; i < imports_.size(); ++i) {  // not the running one, which may have passed what changed since
    if (imports_[i].directory == directory && imports_[i].posix == posix) {
      imports_[i].waiting.push_back(std::move(done));
      return;
    }
  }
  ImportJob& job = imports_.emplace_back();
  job.directory = directory;
  job.posix = posix;
  job.waiting.push_back(std::move(done));
  if (imports_.size() == 1) StartNextImport();
}

void ImporterImplementation::StartNextImport() {
  ImportJob& job = imports_.front();
  progress_.objects = 0;
  progress_.pages = 0;
  progress_.running = true;
  const auto inode = catalog_.Get(job.directory);
  if (!inode) return FinishImport(Fail(inode.error()));
  if (inode->type != FileType::kDirectory || inode->removed) {
    return FinishImport(
        Fail(ErrorCode::kNotADirectory, "only a directory can be imported: " + EscapeForDisplay(inode->key)));
  }
  job.mark = catalog_.BeginSweep();
  job.seen = Catalog::MakeSeenSet();
  Listing::Options options{inode->key, "", options_.lists_in_flight_max, Priority::kBackground};
  job.listing = std::make_shared<Listing>(
      std::move(options), store_, mailbox_,
      [this](const env::ListPage& page) { return CountPage(page, imports_.front().seen.get()); },
      [this](Status status) { ImportListed(std::move(status)); });
  const auto listing = job.listing;
  listing->Start();
}

void ImporterImplementation::ImportListed(Status status) {
  if (stopping_ || imports_.empty()) return;
  ImportJob& job = imports_.front();
  job.listing.reset();
  ForgetSettled();
  if (!status) return Swept(std::move(status));
  job.sweep = catalog_.StartSweep(job.directory, *job.seen, job.mark, clock_.WallTimeNs());
  SweepOn();
}

void ImporterImplementation::SweepOn() {
  if (stopping_ || imports_.empty()) return;
  const Result<bool> more = imports_.front().sweep->Step();
  if (!more || !*more) return Swept(more ? Status() : Status(Fail(more.error())));
  mailbox_->Post(Priority::kBackground, [this] { SweepOn(); });
}

void ImporterImplementation::Swept(Status status) {
  ImportJob& job = imports_.front();
  job.sweep.reset();
  job.seen.reset();
  if (!status || !job.posix) return FinishImport(std::move(status));
  job.cursor = std::make_unique<TreeCursor>(catalog_, job.directory);
  PumpHeads();
}

void ImporterImplementation::PumpHeads() {
  if (stopping_ || imports_.empty()) return;
  ImportJob& job = imports_.front();
  int turn = 0;
  while (job.cursor && job.heads_in_flight < options_.lists_in_flight_max * kHeadsPerList) {
    if (++turn > kInodesPerTurn) {
      return mailbox_->Post(Priority::kBackground, [this] {
        // An answer that came meanwhile may have ended this import: the next one has no cursor yet.
        if (!stopping_ && !imports_.empty() && imports_.front().cursor) PumpHeads();
      });
    }
    auto next = job.cursor->Next();
    if (!next && next.error().code != ErrorCode::kNotFound) {
      job.status = Fail(next.error());
      job.failures = kHeadFailuresMax;
    }
    if (!next || !*next || job.failures >= kHeadFailuresMax) {
      job.cursor.reset();
      break;
    }
    const Inode& inode = **next;
    const bool has_object = inode.type != FileType::kDirectory || !inode.etag.empty();
    if (inode.metadata_known || !has_object) continue;
    ++job.heads_in_flight;
    FetchMetadata(inode, Priority::kBackground, [this](Status status) {
      ImportJob& running = imports_.front();
      --running.heads_in_flight;
      if (!status && ++running.failures == 1) running.status = std::move(status);
      PumpHeads();
    });
  }
  if (!job.cursor && job.heads_in_flight == 0) FinishImport(job.status);
}

void ImporterImplementation::FinishImport(Status status) {
  ImportJob job = std::move(imports_.front());
  imports_.pop_front();
  if (imports_.empty()) progress_.running = false;
  catalog_.Sync();
  CallAll(std::move(job.waiting), status);
  if (!imports_.empty()) StartNextImport();
}

// --- one object

void ImporterImplementation::StartRefresh(InodeId file, Done done) {
  auto& waiting = refreshes_[Value(file)];
  waiting.push_back(std::move(done));
  if (waiting.size() > 1) return;
  const auto inode = catalog_.Get(file);
  const auto finish = [this, file](Status status) {
    const auto found = refreshes_.find(Value(file));
    if (found == refreshes_.end()) return;  // stopping
    auto callbacks = std::move(found->second);
    refreshes_.erase(found);
    CallAll(std::move(callbacks), status);
  };
  if (!inode) return finish(Fail(inode.error()));
  if (inode->removed) return finish({});  // replaced or removed already
  FetchMetadata(*inode, Priority::kDemand, finish);
}

void ImporterImplementation::FetchMetadata(const Inode& file, Priority priority, Done done) {
  const InodeId id = file.id;
  // Somebody else may have replaced or removed the inode meanwhile: then all is well.
  const auto settle = [done](Status status) {
    done(!status && status.error().code == ErrorCode::kNotFound ? Status() : std::move(status));
  };
  store_.Head(
      file.key, OnThread<ObjectInfo>(priority, [this, id, key = file.key, priority, settle](Result<ObjectInfo> info) {
        if (!info) {
          if (info.error().code != ErrorCode::kNotFound) return settle(Fail(std::move(info).error()));
          Settle(key, std::nullopt);
          return settle(catalog_.Remove(id));
        }
        Settle(key, *info);
        const bool is_symlink =
            DecodePosixMetadata(info->user_metadata, nullptr).is_symlink && !info->key.ends_with('/');
        if (!is_symlink || info->size_bytes == 0 || info->size_bytes > kSymlinkBytesMax) {
          return settle(catalog_.ApplyMetadata(id, *info, ""));
        }
        env::GetRequest request;
        request.key = info->key;
        request.if_match = info->etag;
        request.background = priority == Priority::kBackground;
        auto apply = OnThread<std::string>(priority, [this, id, info = *info, settle](Result<std::string> body) {
          settle(body ? catalog_.ApplyMetadata(id, info, *body) : Status(Fail(std::move(body).error())));
        });
        store_.Get(std::move(request), std::make_shared<SymlinkBody>([apply](Status status, std::string body) {
                     apply(status ? Result<std::string>(std::move(body))
                                  : Result<std::string>(Fail(std::move(status).error())));
                   }));
      }));
}

}  // namespace

std::unique_ptr<Importer> Importer::Create(ImporterOptions options, Catalog& catalog, env::ObjectStore& store,
                                           const env::Clock& clock) {
  auto importer = std::make_unique<ImporterImplementation>(options, catalog, store, clock);
  importer->StartThread();
  return importer;
}

}  // namespace leat::catalog
