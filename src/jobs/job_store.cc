// SPDX-License-Identifier: Apache-2.0
#include "jobs/job_store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <sstream>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "jobs/volume.h"
#include "model/training_job.h"

namespace leat::jobs {
namespace {

constexpr int kBusyTimeoutMs = 10000;  // other processes hold the database for one small transaction at a time

constexpr const char* kSchema = R"(
PRAGMA journal_mode=WAL;
PRAGMA synchronous=NORMAL;
CREATE TABLE IF NOT EXISTS jobs(number INTEGER PRIMARY KEY, kind INTEGER NOT NULL, name TEXT NOT NULL COLLATE NOCASE,
  UNIQUE(kind, name));
CREATE TABLE IF NOT EXISTS events(job INTEGER NOT NULL, sequence INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL,
  kind TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_of_job ON events(job, sequence);
CREATE TABLE IF NOT EXISTS samples(job INTEGER NOT NULL, sequence INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL,
  name TEXT NOT NULL, value TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS samples_of_job ON samples(job, sequence);
CREATE TABLE IF NOT EXISTS log_positions(job INTEGER NOT NULL, host INTEGER NOT NULL, position INTEGER NOT NULL,
  PRIMARY KEY(job, host));
CREATE TABLE IF NOT EXISTS ended_jobs(job INTEGER PRIMARY KEY);
INSERT OR IGNORE INTO ended_jobs SELECT job FROM events
  WHERE (SELECT user_version FROM pragma_user_version) = 0 AND kind = 'ended';
PRAGMA user_version = 1;
)";

class Statement {  // one prepared statement; errors are kept until Step's caller looks
 public:
  Statement(sqlite3* database, const char* sql) : database_(database) {
    sqlite3_prepare_v2(database, sql, -1, &statement_, nullptr);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  Statement& Bind(int64_t value) {
    sqlite3_bind_int64(statement_, ++bound_, value);
    return *this;
  }
  Statement& Bind(const std::string& value) {
    sqlite3_bind_text(statement_, ++bound_, value.data(), static_cast<int>(value.size()), SQLITE_TRANSIENT);
    return *this;
  }
  int Step() { return statement_ ? sqlite3_step(statement_) : sqlite3_errcode(database_); }
  void Reset() {
    sqlite3_reset(statement_);
    bound_ = 0;
  }
  int64_t Integer(int column) { return sqlite3_column_int64(statement_, column); }
  std::string Text(int column) {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    return text ? std::string(text, static_cast<size_t>(sqlite3_column_bytes(statement_, column))) : std::string();
  }

 private:
  sqlite3* database_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

std::string NumberText(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

class SqliteJobStore final : public JobStore {
 public:
  SqliteJobStore(sqlite3* database, const std::string& state_directory)
      : JobStore(state_directory), database_(database), path_(state_directory + "/jobs.db") {}
  ~SqliteJobStore() override { sqlite3_close(database_); }

  Status Create(JobKind kind, const std::string& name, const Event& created) override {
    std::lock_guard lock(mutex_);
    LEAT_RETURN_IF_ERROR(Execute("BEGIN IMMEDIATE"));
    Statement insert(database_, "INSERT INTO jobs(kind, name) VALUES(?, ?)");
    const int code = insert.Bind(static_cast<int64_t>(kind)).Bind(name).Step();
    if (code != SQLITE_DONE) {
      const auto error = Error(code);
      insert.Reset();
      (void)Execute("ROLLBACK");
      if (code == SQLITE_CONSTRAINT) return Fail(ErrorCode::kExists, "a job named " + name + " exists already");
      return error;
    }
    const Status status = Insert(sqlite3_last_insert_rowid(database_), created);
    if (!status) {
      (void)Execute("ROLLBACK");
      return status;
    }
    return Commit();
  }

  Status Append(JobKind kind, const std::string& name, const Event& event) override {
    std::lock_guard lock(mutex_);
    LEAT_ASSIGN_OR_RETURN(const int64_t number, NumberOf(kind, name));
    LEAT_RETURN_IF_ERROR(Execute("BEGIN IMMEDIATE"));
    const Status status = Insert(number, event);
    if (!status) {
      (void)Execute("ROLLBACK");
      return status;
    }
    return Commit();
  }

  Result<std::vector<Event>> Events(JobKind kind, const std::string& name, int64_t behind) override {
    std::lock_guard lock(mutex_);
    LEAT_ASSIGN_OR_RETURN(const int64_t number, NumberOf(kind, name));
    Statement select(database_,
                     "SELECT kind, at_ns, body, sequence FROM events WHERE job = ? AND sequence > ? ORDER BY sequence");
    select.Bind(number).Bind(behind);
    std::vector<Event> events;
    int code = select.Step();
    for (; code == SQLITE_ROW; code = select.Step()) {
      Event event{select.Text(0), select.Integer(1), Json::parse(select.Text(2), nullptr, false), select.Integer(3)};
      if (!event.body.is_object()) {
        return Fail(ErrorCode::kCorrupt, path_ + ": an event of " + name + " is not readable");
      }
      events.push_back(std::move(event));
    }
    if (code != SQLITE_DONE) return Error(code);
    return events;
  }

  Result<std::vector<std::string>> Names(JobKind kind) override {
    return SelectNames("SELECT name FROM jobs WHERE kind = ? ORDER BY number", kind);
  }
  Result<std::vector<std::string>> Unfinished(JobKind kind) override {
    return SelectNames(
        "SELECT name FROM jobs WHERE kind = ? AND number NOT IN (SELECT job FROM ended_jobs) ORDER BY number", kind);
  }

  Result<std::vector<std::string>> UnfinishedToStop() override {
    auto names = SelectNames(
        "SELECT DISTINCT name FROM jobs JOIN events ON events.job = jobs.number WHERE jobs.kind = ? AND jobs.number "
        "NOT "
        "IN (SELECT job FROM ended_jobs) AND events.kind = 'stop_requested'",
        JobKind::kTraining);
    if (names) std::ranges::sort(*names);
    return names;
  }

  Status AddSamples(const std::string& training_job, uint32_t host, const std::vector<MetricSample>& samples,
                    uint64_t log_position) override {
    std::lock_guard lock(mutex_);
    LEAT_ASSIGN_OR_RETURN(const int64_t number, NumberOf(JobKind::kTraining, training_job));
    LEAT_RETURN_IF_ERROR(Execute("BEGIN IMMEDIATE"));
    Statement insert(database_, "INSERT INTO samples(job, at_ns, name, value) VALUES(?, ?, ?, ?)");
    for (const auto& sample : samples) {
      const int code = insert.Bind(number).Bind(sample.at_ns).Bind(sample.name).Bind(NumberText(sample.value)).Step();
      if (code != SQLITE_DONE) {
        const auto error = Error(code);
        insert.Reset();
        (void)Execute("ROLLBACK");
        return error;
      }
      insert.Reset();
    }
    Statement position(database_, "INSERT OR REPLACE INTO log_positions(job, host, position) VALUES(?, ?, ?)");
    const int code = position.Bind(number).Bind(int64_t{host}).Bind(static_cast<int64_t>(log_position)).Step();
    if (code != SQLITE_DONE) {
      const auto error = Error(code);
      position.Reset();
      (void)Execute("ROLLBACK");
      return error;
    }
    position.Reset();
    return Commit();
  }

  Result<uint64_t> LogPosition(const std::string& training_job, uint32_t host) override {
    std::lock_guard lock(mutex_);
    LEAT_ASSIGN_OR_RETURN(const int64_t number, NumberOf(JobKind::kTraining, training_job));
    Statement select(database_, "SELECT position FROM log_positions WHERE job = ? AND host = ?");
    const int code = select.Bind(number).Bind(int64_t{host}).Step();
    if (code == SQLITE_ROW) return static_cast<uint64_t>(select.Integer(0));
    if (code != SQLITE_DONE) return Error(code);
    return uint64_t{0};
  }

  Status ForgetLogPositions(const std::string& training_job) override {
    std::lock_guard lock(mutex_);
    LEAT_ASSIGN_OR_RETURN(const int64_t number, NumberOf(JobKind::kTraining, training_job));
    Statement remove(database_, "DELETE FROM log_positions WHERE job = ?");
    const int code = remove.Bind(number).Step();
    if (code != SQLITE_DONE) return Error(code);
    return {};
  }

  Result<std::vector<MetricSample>> Samples(const std::string& training_job, int64_t behind) override {
    std::lock_guard lock(mutex_);
    LEAT_ASSIGN_OR_RETURN(const int64_t number, NumberOf(JobKind::kTraining, training_job));
    Statement select(
        database_, "SELECT name, value, at_ns, sequence FROM samples WHERE job = ? AND sequence > ? ORDER BY sequence");
    select.Bind(number).Bind(behind);
    std::vector<MetricSample> samples;
    int code = select.Step();
    for (; code == SQLITE_ROW; code = select.Step()) {
      samples.push_back(
          {select.Text(0), std::strtod(select.Text(1).c_str(), nullptr), select.Integer(2), select.Integer(3)});
    }
    if (code != SQLITE_DONE) return Error(code);
    return samples;
  }

  Status Remove(JobKind kind, const std::string& name) override {
    std::lock_guard lock(mutex_);
    LEAT_RETURN_IF_ERROR(Execute("BEGIN IMMEDIATE"));
    const Status status = RemoveRows(kind, name);
    if (status) return Commit();
    (void)Execute("ROLLBACK");
    return status;
  }

  // A commit that fails leaves no transaction open: all that came after would fall into it.
  Status Commit() {
    const Status status = Execute("COMMIT");
    if (!status && sqlite3_get_autocommit(database_) == 0) (void)Execute("ROLLBACK");
    return status;
  }

  Status Execute(const char* sql) {
    const int code = sqlite3_exec(database_, sql, nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) return Error(code);
    return {};
  }

 private:
  tl::unexpected<leat::Error> Error(int code) {
    const ErrorCode meaning = code == SQLITE_FULL   ? ErrorCode::kNoSpace
                              : code == SQLITE_BUSY ? ErrorCode::kBusy
                                                    : ErrorCode::kIo;
    return Fail(meaning, path_ + ": " + sqlite3_errmsg(database_));
  }

  Result<std::vector<std::string>> SelectNames(const char* sql, JobKind kind) {
    std::lock_guard lock(mutex_);
    Statement select(database_, sql);
    select.Bind(static_cast<int64_t>(kind));
    std::vector<std::string> names;
    int code = select.Step();
    for (; code == SQLITE_ROW; code = select.Step()) names.push_back(select.Text(0));
    if (code != SQLITE_DONE) return Error(code);
    return names;
  }

  Result<int64_t> NumberOf(JobKind kind, const std::string& name) {
    Statement select(database_, "SELECT number FROM jobs WHERE kind = ? AND name = ?");
    const int code = select.Bind(static_cast<int64_t>(kind)).Bind(name).Step();
    if (code == SQLITE_ROW) return select.Integer(0);
    if (code != SQLITE_DONE) return Error(code);
    return Fail(ErrorCode::kNotFound,
                "Requested resource not found: no job is named " + name + " (leat jobs list shows them)");
  }

  Status RemoveRows(JobKind kind, const std::string& name) {
    LEAT_ASSIGN_OR_RETURN(const int64_t number, NumberOf(kind, name));
    Statement ended(database_, "SELECT 1 FROM ended_jobs WHERE job = ?");
    const int found = ended.Bind(number).Step();
    if (found == SQLITE_DONE) return Fail(ErrorCode::kBusy, name + " has not ended: leat jobs stop " + name);
    if (found != SQLITE_ROW) return Error(found);
    ended.Reset();
    for (const char* sql : {"DELETE FROM events WHERE job = ?", "DELETE FROM samples WHERE job = ?",
                            "DELETE FROM log_positions WHERE job = ?", "DELETE FROM ended_jobs WHERE job = ?",
                            "DELETE FROM jobs WHERE number = ?"}) {
      Statement remove(database_, sql);
      const int code = remove.Bind(number).Step();
      if (code != SQLITE_DONE) return Error(code);
    }
    return {};
  }

  Status Insert(int64_t number, const Event& event) {
    Statement insert(database_, "INSERT INTO events(job, at_ns, kind, body) VALUES(?, ?, ?, ?)");
    const int code = insert.Bind(number)
                         .Bind(event.at_ns)
                         .Bind(event.kind)
                         .Bind(event.body.dump(-1, ' ', false, Json::error_handler_t::replace))
                         .Step();
    if (code != SQLITE_DONE) return Error(code);
    if (event.kind == "resumed") {
      Statement unmark(database_, "DELETE FROM ended_jobs WHERE job = ?");
      const int unmarked = unmark.Bind(number).Step();
      return unmarked == SQLITE_DONE ? Status() : Status(Error(unmarked));
    }
    if (event.kind != "ended") return {};
    Statement mark(database_, "INSERT OR IGNORE INTO ended_jobs(job) VALUES(?)");
    const int marked = mark.Bind(number).Step();
    if (marked != SQLITE_DONE) return Error(marked);
    return {};
  }

  std::mutex mutex_;  // one statement at a time on the connection; SQLite's own I/O is what it protects
  sqlite3* const database_;
  const std::string path_;
};

}  // namespace

Result<std::unique_ptr<JobStore>> JobStore::Open(const std::string& state_directory) {
  LEAT_RETURN_IF_ERROR(CreateDirectories(state_directory, 0700));
  const std::string path = state_directory + "/jobs.db";
  // It holds the jobs' Environment. What SQLite makes beside it gets its mode.
  // Never opened when it exists: to close it would end the locks that SQLite has on it in this process.
  (void)FileDescriptor(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  for (const char* end : {"", "-wal", "-shm"}) (void)!chmod((path + end).c_str(), 0600);
  sqlite3* database = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  auto store = std::make_unique<SqliteJobStore>(database, state_directory);
  if (code != SQLITE_OK) return Fail(ErrorCode::kIo, path + ": " + sqlite3_errstr(code));
  sqlite3_busy_timeout(database, kBusyTimeoutMs);
  const Status made = store->Execute(kSchema);
  // What is there can be read on a full disk, too.
  const bool is_readable =
      !made && made.error().code == ErrorCode::kNoSpace && store->Execute("SELECT 1 FROM ended_jobs LIMIT 1");
  if (!made && !is_readable) return Fail(made.error());
  return store;
}

Result<JobState> JobStore::Load(const std::string& training_job) {
  LEAT_ASSIGN_OR_RETURN(const auto events, Events(JobKind::kTraining, training_job));
  return Fold(events);
}

int64_t WallTimeNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace leat::jobs
