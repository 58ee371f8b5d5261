// SPDX-License-Identifier: Apache-2.0
#include "jobs/queued_observer.h"

#include <gmock/gmock.h>

#include <future>

namespace leat::jobs {
namespace {

// Takes nothing until it is opened, as a pipe that nobody reads.
class Reader final : public RunObserver {
 public:
  void OnStatus(const std::string&, const std::string& secondary, const std::string&) override { Take(secondary); }
  void OnLogLine(const std::string&, std::string_view line) override { Take(std::string(line)); }
  void OnMetric(const std::string&, const std::string& name, double) override { Take(name); }
  void OnWarning(const std::string&, const std::string& text) override { Take(text); }
  void Open() { opened_.set_value(); }
  std::vector<std::string> taken;

 private:
  void Take(const std::string& text) {
    open_.wait();
    taken.push_back(text);
  }
  std::promise<void> opened_;
  std::shared_future<void> open_ = opened_.get_future().share();
};

TEST(QueuedObserver, ShowsEverythingInOrder) {
  Reader reader;
  reader.Open();
  QueuedObserver queue(reader);
  queue.Start();
  queue.OnStatus("j", "Training", "");
  queue.OnLogLine("j", "one");
  queue.OnMetric("j", "loss", 1);
  queue.OnWarning("j", "careful");
  EXPECT_TRUE(queue.Finish(std::chrono::minutes(5)));
  EXPECT_THAT(reader.taken, testing::ElementsAre("Training", "one", "loss", "careful"));
}

TEST(QueuedObserver, NeverWaitsForAReaderAndCountsWhatItDrops) {
  Reader reader;
  QueuedObserver queue(reader, 4096);
  queue.Start();
  const std::string line(100, 'x');
  for (int i = 0; i < 1000; ++i) queue.OnLogLine("j", line);  // returns, though nothing is read
  queue.OnStatus("j", "Completed", "");
  EXPECT_FALSE(queue.Finish(std::chrono::milliseconds(20)));
  reader.Open();
  ASSERT_TRUE(queue.Finish(std::chrono::minutes(5)));
  const size_t shown = static_cast<size_t>(std::count(reader.taken.begin(), reader.taken.end(), line));
  EXPECT_GT(shown, 5u);
  EXPECT_LE(shown, 4096u / line.size() + 1);
  ASSERT_EQ(reader.taken.size(), shown + 2);
  EXPECT_EQ(reader.taken[shown], "[" + std::to_string(1000 - shown) + " lines not shown]");
  EXPECT_EQ(reader.taken.back(), "Completed");  // states are not dropped
}

TEST(QueuedObserver, LinesDroppedLastAreToldAtTheEnd) {
  Reader reader;
  QueuedObserver queue(reader, 300);
  queue.Start();
  for (int i = 0; i < 3; ++i) queue.OnLogLine("j", std::string(100, 'x'));
  EXPECT_FALSE(queue.Finish(std::chrono::milliseconds(20)));
  reader.Open();
  ASSERT_TRUE(queue.Finish(std::chrono::minutes(5)));
  EXPECT_EQ(reader.taken.back(), "[2 lines not shown]");
}

}  // namespace
}  // namespace leat::jobs
