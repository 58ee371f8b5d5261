// SPDX-License-Identifier: Apache-2.0
// Importer: repository listing -> catalog. A directory or a name on demand, with priority; everything, in parallel, in
// the background. Threads: any may call; it has one thread of its own, which applies pages. Callbacks run on that
// thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "catalog/catalog.h"
#include "env/clock.h"
#include "env/object_store.h"

namespace leat::catalog {

struct ImporterOptions {
  uint32_t lists_in_flight_max = 16;  // parallel LIST requests: fan out over prefixes, split flat prefixes by key range
};

struct ImportProgress {  // any thread reads
  std::atomic<uint64_t> objects{0}, pages{0};
  std::atomic<bool> running{false};
};

class Importer {
 public:
  static std::unique_ptr<Importer> Create(ImporterOptions options, Catalog& catalog, env::ObjectStore& store,
                                          const env::Clock& clock);
  virtual ~Importer() = default;  // stops; waiting callbacks get kCancelled

  // Makes sure the name's entry is in the catalog if the bucket has it: one round trip (two LISTs of one key, side by
  // side), single flight per name. Success also when there is no such key; look it up afterwards.
  virtual void LookUpName(InodeId directory, const std::string& name, std::function<void(Status)> done) = 0;
  // Makes sure the directory's entries are complete (delimited listing). Single flight.
  virtual void ListDirectory(InodeId directory, std::function<void(Status)> done) = 0;
  // Lists all below `directory` and applies additions, replacements and removals. With `posix`, also a HEAD for each
  // file whose metadata is not known (and a GET of the body of symlinks).
  virtual void Import(InodeId directory, bool posix, std::function<void(Status)> done) = 0;
  // Waits until everything has been listed once: for the import of everything that runs or waits, else for a new one.
  virtual void WaitForImport(std::function<void(Status)> done) = 0;
  // One object again by HEAD, after a 412 or 404: replaced or removed when `done` runs.
  virtual void RefreshObject(InodeId file, std::function<void(Status)> done) = 0;
  virtual const ImportProgress& Progress() const = 0;
};

}  // namespace leat::catalog
