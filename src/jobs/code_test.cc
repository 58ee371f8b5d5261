// SPDX-License-Identifier: Apache-2.0
#include "jobs/code.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "base/file.h"
#include "jobs/trainer_process.h"

namespace leat::jobs {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class NoRepositories final : public RepositoryFactory {
 public:
  Result<Repository> Open(const std::string& url, unsigned) override { return Fail(ErrorCode::kNoSuchBucket, url); }
};

class CodeTest : public testing::Test {
 protected:
  CodeTest() {
    char name[] = "/tmp/leat-code-XXXXXX";
    root_ = mkdtemp(name);
    fs::create_directories(root_ + "/source/package");
    Write("/source/run.sh", "echo\n");
    options_.state_directory = root_ + "/source/state";  // inside what is copied
    code_ = options_.state_directory + "/jobs/j/ml/code";
    fs::create_directories(code_);
    job_.hyperparameters = {{"sagemaker_program", "run.sh"}, {"sagemaker_submit_directory", root_ + "/source"}};
  }
  ~CodeTest() override { fs::remove_all(root_); }
  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(root_ + name, text, 0644, false));
  }
  Result<TrainerProgram> Prepare() { return PrepareCode(job_, repositories_, code_, options_, {}); }

  std::string root_, code_;
  TrainingJob job_;
  CodeOptions options_;
  NoRepositories repositories_;
};

TEST_F(CodeTest, LinksToFilesAreCopiedAsTheFiles) {
  fs::create_directories(root_ + "/shared/data");
  Write("/shared/helper.py", "x = 1\n");
  fs::create_symlink("../../shared/helper.py", root_ + "/source/package/helper.py");
  fs::create_directory_symlink("../shared/data", root_ + "/source/data");
  fs::create_directory_symlink(".", root_ + "/source/package/here");
  fs::create_symlink("nowhere", root_ + "/source/dangling");
  const auto program = Prepare();
  ASSERT_TRUE(program) << program.error().message;
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(code_ + "/package/helper.py")));
  EXPECT_EQ(ReadFile(code_ + "/package/helper.py").value(), "x = 1\n");
  EXPECT_EQ(fs::canonical(code_ + "/data"), fs::canonical(root_ + "/shared/data"));
  EXPECT_EQ(fs::canonical(code_ + "/package/here"), fs::canonical(code_ + "/package"));
  EXPECT_THAT(program->warnings, testing::ElementsAre(HasSubstr("dangling is a link that leads to no file")));
}

TEST_F(CodeTest, TheStateDirectoryIsNotCopiedIntoItself) {
  ASSERT_TRUE(Prepare());
  EXPECT_TRUE(fs::exists(code_ + "/run.sh"));
  EXPECT_FALSE(fs::exists(code_ + "/state"));
}

TEST_F(CodeTest, ModesOutsideTheCodeStayAsTheyAre) {
  Write("/own.sh", "echo\n");
  ASSERT_EQ(chmod((root_ + "/own.sh").c_str(), 0600), 0);
  fs::remove(root_ + "/source/run.sh");
  fs::create_symlink(root_ + "/own.sh", root_ + "/source/run.sh");
  ASSERT_TRUE(Prepare());
  const auto mode = [](const std::string& path) { return static_cast<unsigned>(fs::status(path).permissions()); };
  EXPECT_EQ(mode(root_ + "/own.sh"), 0600u);
  EXPECT_EQ(mode(code_ + "/run.sh"), 0777u);
  // Nor by a directory that a link leads to.
  fs::remove_all(code_);
  fs::create_directories(code_);
  fs::create_directory_symlink(root_, root_ + "/source/out");
  job_.hyperparameters["sagemaker_program"] = "out/own.sh";
  ASSERT_TRUE(Prepare());
  EXPECT_EQ(mode(root_ + "/own.sh"), 0600u);
}

TEST_F(CodeTest, ANameThatIsNoFileIsAnErrorAndNoException) {
  job_.hyperparameters["sagemaker_program"] = std::string(2000, 'x');
  EXPECT_EQ(Prepare().error().code, ErrorCode::kNotFound);
  fs::remove_all(code_);
  fs::create_directories(code_);
  fs::create_symlink("circle", root_ + "/source/circle");
  job_.hyperparameters["sagemaker_program"] = "circle/x.py";
  EXPECT_EQ(Prepare().error().code, ErrorCode::kNotFound);
}

TEST_F(CodeTest, SaysWhatIsNotInstalled) {
  Write("/source/setup.py", "");
  Write("/source/requirements.txt", "");
  EXPECT_THAT(Prepare()->warnings,
              testing::ElementsAre(HasSubstr("requirements.txt"), HasSubstr("setup.py is not installed")));
}

TEST_F(CodeTest, RequirementsAreRefusedOrInstalledByChoice) {
  Write("/source/requirements.txt", "numpy\n");
  Write("/source/train.py", "print()\n");
  job_.hyperparameters["sagemaker_program"] = "train.py";
  job_.hyperparameters["lr"] = "0.1";
  options_.requirements = Requirements::kRefuse;
  EXPECT_EQ(Prepare().error().code, ErrorCode::kNotSupported);
  fs::remove_all(code_);
  fs::create_directories(code_);
  options_.requirements = Requirements::kInstall;
  const auto program = Prepare();
  ASSERT_TRUE(program);
  EXPECT_TRUE(program->warnings.empty());
  ASSERT_EQ(program->arguments.size(), 7u);
  EXPECT_THAT(program->arguments[2], HasSubstr("-m pip install"));
  EXPECT_EQ(program->arguments[3], options_.python);
  EXPECT_EQ(program->arguments[4], "train.py");
  EXPECT_EQ(program->arguments[5], "--lr");
}

TEST_F(CodeTest, AnInterpreterWithoutPipIsTold) {
  Write("/source/requirements.txt", "numpy\n");
  Write("/source/train.py", "print()\n");
  Write("/python", "#!/bin/sh\nexit 1\n");
  fs::permissions(root_ + "/python", fs::perms::owner_all);
  job_.hyperparameters["sagemaker_program"] = "train.py";
  options_.requirements = Requirements::kInstall;
  options_.python = root_ + "/python";
  TrainerCommand command;
  command.arguments = Prepare().value().arguments;
  command.environment = {"PATH=/usr/bin:/bin"};
  const auto ran = RunProgram(command, std::chrono::seconds(60));
  ASSERT_TRUE(ran);
  EXPECT_EQ(ran->exit_code, 1);
  EXPECT_THAT(ran->text, HasSubstr("install python3-pip"));
}

// The kernel does not execute what a process may write.
TEST_F(CodeTest, AScriptIsReadyWhenNobodyHasItForWriting) {
  Write(code_.substr(root_.size()) + "/run.sh", "#!/bin/sh\n");
  job_.hyperparameters = {{"sagemaker_program", "run.sh"}};
  FileDescriptor writer(open((code_ + "/run.sh").c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(writer.valid());
  std::atomic<bool> is_ready = false;
  std::jthread preparing([&] {
    EXPECT_TRUE(Prepare());
    is_ready = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(is_ready);
  writer.Reset();
  preparing.join();
}

TEST_F(CodeTest, AnImageHasACommandAndPackagesOfItsOwn) {
  Write("/source/requirements.txt", "numpy\n");
  Write("/source/setup.py", "");
  fs::create_directory_symlink(root_, root_ + "/source/out");
  job_.training_image = "img";
  options_.requirements = Requirements::kRefuse;
  const auto program = Prepare();
  ASSERT_TRUE(program) << program.error().message;
  EXPECT_EQ(program->name, "run.sh");
  EXPECT_TRUE(program->arguments.empty());
  EXPECT_TRUE(fs::exists(code_ + "/run.sh"));
  EXPECT_THAT(program->warnings, testing::ElementsAre(HasSubstr("which is not in the container")));
  job_.hyperparameters["sagemaker_program"] = "none.sh";
  fs::remove_all(code_);
  fs::create_directories(code_);
  EXPECT_EQ(Prepare().error().code, ErrorCode::kNotFound);
  job_.hyperparameters.erase("sagemaker_submit_directory");  // the program is one of the image's
  EXPECT_TRUE(Prepare());
}

TEST_F(CodeTest, AStopEndsTheCopy) {
  EXPECT_EQ(PrepareCode(job_, repositories_, code_, options_, [] { return true; }).error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace leat::jobs
