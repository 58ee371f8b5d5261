// SPDX-License-Identifier: Apache-2.0
#include "jobs/contract.h"

#include <gmock/gmock.h>

namespace leat::jobs {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Not;
using testing::StartsWith;

// What the toolkit was seen to pass for these hyperparameters.
TEST(Contract, ArgumentsAreThoseOfTheToolkit) {
  const Json hyperparameters = ScriptHyperparameters({{"a", "1"},
                                                      {"lr", "0.1"},
                                                      {"flag", "true"},
                                                      {"d", R"({"y":2,"x":1})"},
                                                      {"l", "[1,2]"},
                                                      {"s", "\"x y\""},
                                                      {"n", "null"},
                                                      {"learning-rate", "1e-05"},
                                                      {"Z", "up"},
                                                      {"e", ""},
                                                      {"sagemaker_program", "\"train.py\""},
                                                      {"_tuning_objective_metric", "loss"}});
  EXPECT_THAT(ScriptArguments(hyperparameters),
              ElementsAre("-Z", "up", "-a", "1", "-d", "x=1,y=2", "-e", "", "--flag", "True", "-l", "[1, 2]",
                          "--learning-rate", "1e-05", "--lr", "0.1", "-n", "", "-s", "x y"));
}

TEST(Contract, PythonForms) {
  EXPECT_EQ(PythonText(0.1), "0.1");
  EXPECT_EQ(PythonText(1.0), "1.0");
  EXPECT_EQ(PythonText(-0.0001), "-0.0001");
  EXPECT_EQ(PythonText(0.00001), "1e-05");
  EXPECT_EQ(PythonText(1e15), "1000000000000000.0");
  EXPECT_EQ(PythonText(1e16), "1e+16");
  EXPECT_EQ(PythonText(1.5e300), "1.5e+300");
  EXPECT_EQ(PythonText(123456.789), "123456.789");
  EXPECT_EQ(PythonText(Json::parse(R"(["it's", null, {"k": true}])")), R"(["it's", None, {'k': True}])");
  EXPECT_EQ(PythonText("a\nb"), "a\nb");
  EXPECT_EQ(PythonRepresentation("a\n'\"\x01"), R"('a\n\'"\x01')");
  EXPECT_EQ(ScriptHyperparameters({{"n", "123456789012345678901234567890"}})["n"], "123456789012345678901234567890");
}

TEST(Contract, EnvironmentOfTheScript) {
  TrainingJob job;
  job.name = "My-Job";
  job.hyperparameters = {{"learning-rate", "0.1"}, {"flag", "true"}, {"name", "\"h\u00e9\""}};
  job.environment = {{"SM_LOG_LEVEL", "10"}, {"EXTRA", "1"}};
  Channel channel;
  channel.name = "train";
  job.channels = {channel};
  auto environment = ContractEnvironment(job, {"ml.g5.xlarge", 4, 1}, {}, "train.py");
  EXPECT_EQ(environment["SM_HP_LEARNING-RATE"], "0.1");
  EXPECT_EQ(environment["SM_HP_FLAG"], "true");
  EXPECT_EQ(environment["SM_HPS"], R"({"flag":true,"learning-rate":0.1,"name":"h\u00e9"})");
  EXPECT_EQ(environment["SM_CHANNELS"], R"(["train"])");
  EXPECT_EQ(environment["SM_CHANNEL_TRAIN"], "/opt/ml/input/data/train");
  EXPECT_EQ(environment["SM_NUM_GPUS"], "1");
  EXPECT_EQ(environment["SM_MODULE_NAME"], "train");
  EXPECT_EQ(environment["SM_LOG_LEVEL"], "10");
  EXPECT_EQ(environment["TRAINING_JOB_ARN"], "arn:aws:sagemaker:local:000000000000:training-job/my-job");
  EXPECT_EQ(Json::parse(environment["SM_TRAINING_ENV"])["channel_input_dirs"]["train"], "/opt/ml/input/data/train");
  EXPECT_EQ(environment["SAGEMAKER_JOB_NAME"], "My-Job");
  EXPECT_EQ(environment["TRAINING_JOB_NAME"], "My-Job");
  EXPECT_EQ(environment["CURRENT_HOST"], "algo-1");
  EXPECT_FALSE(environment.count("CUDA_VISIBLE_DEVICES"));
  auto limited = ContractEnvironment(job, {"ml.g5.xlarge", 4, 1, "0"}, {}, "train.py");
  EXPECT_EQ(limited["CUDA_VISIBLE_DEVICES"], "0");
  EXPECT_EQ(limited["CUDA_DEVICE_ORDER"], "PCI_BUS_ID");
  EXPECT_FALSE(environment.count("SAGEMAKER_BASE_DIR"));
  EXPECT_EQ(ContractEnvironment(job, {}, {"/state/ml"}, "train.py")["SAGEMAKER_BASE_DIR"], "/state/ml");
}

TEST(Contract, ANameWithAnEqualsSignMakesNoVariable) {
  TrainingJob job;
  job.hyperparameters = {{"a=b", "1"}, {"a", "2"}};
  const auto environment = ContractEnvironment(job, {}, {}, "t.py");
  EXPECT_EQ(environment.at("SM_HP_A"), "2");
  EXPECT_FALSE(environment.contains("SM_HP_A=B"));
}

TEST(Contract, TheTrainingEnvironmentHasEveryPropertyOfTheToolkit) {
  TrainingJob job;
  job.name = "job";
  job.hyperparameters = {{"sagemaker_container_log_level", "10"}};
  const auto environment = ContractEnvironment(job, {}, {}, "train.py");
  const Json training = Json::parse(environment.at("SM_TRAINING_ENV"));
  std::vector<std::string> names;
  for (const auto& [name, value] : training.items()) names.push_back(name);
  EXPECT_THAT(
      names,
      ElementsAre("additional_framework_parameters", "channel_input_dirs", "current_host", "current_instance_group",
                  "current_instance_group_hosts", "current_instance_type", "distribution_hosts",
                  "distribution_instance_groups", "framework_module", "hosts", "hyperparameters", "input_config_dir",
                  "input_data_config", "input_dir", "instance_groups", "instance_groups_dict", "is_hetero", "is_master",
                  "is_modelparallel_enabled", "is_smddpmprun_installed", "is_smddprun_installed", "job_name",
                  "log_level", "master_hostname", "model_dir", "module_dir", "module_name", "network_interface_name",
                  "num_cpus", "num_gpus", "num_neurons", "output_data_dir", "output_dir", "output_intermediate_dir",
                  "resource_config", "topology", "user_entry_point"));
  EXPECT_EQ(training["log_level"], 10);
  EXPECT_EQ(environment.at("SM_LOG_LEVEL"), "10");
}

TEST(Contract, TheCallersSecretsStayBehind) {
  const auto environment = TrainerEnvironment(
      {"AWS_SECRET_ACCESS_KEY=x", "AWS_SESSION_TOKEN=y", "AWS_REGION=eu", "SM_HPS=old", "PATH=/bin", "PYTHONPATH=/lib"},
      {{"SM_MODEL_DIR", "/opt/ml/model"}}, {});
  EXPECT_THAT(environment, Not(Contains(StartsWith("AWS_SE"))));
  EXPECT_THAT(environment, Not(Contains(StartsWith("SM_HPS"))));
  EXPECT_THAT(environment, Contains("AWS_REGION=eu"));
  EXPECT_THAT(environment, Contains("PYTHONPATH=/opt/ml/code:/lib"));
  EXPECT_THAT(environment, Contains("SM_MODEL_DIR=/opt/ml/model"));
}

TEST(Contract, OfTheCallersVariablesOnlyThoseThatProgramsNeedArePassedOn) {
  const std::vector<std::string> secret = {"HF_TOKEN=x",
                                           "DB_PASSWORD=x",
                                           "https_proxy=http://me:secret@proxy:3128",
                                           "AWS_ENDPOINT_URL=http://me:secret@host",
                                           "SSH_AUTH_SOCK=/s",
                                           "PYPI_TOKEN=x"};
  const std::vector<std::string> needed = {"PATH=/bin",
                                           "HOME=/home/me",
                                           "LC_ALL=C",
                                           "PYTHONHASHSEED=0",
                                           "CUDA_HOME=/cuda",
                                           "NCCL_DEBUG=INFO",
                                           "OMP_NUM_THREADS=2",
                                           "TORCH_HOME=/t",
                                           "CONDA_PREFIX=/c",
                                           "HTTPS_PROXY=http://proxy:3128",
                                           "no_proxy=localhost",
                                           "SSL_CERT_FILE=/c",
                                           "AWS_ENDPOINT_URL_S3=http://host"};
  std::vector<std::string> caller = secret;
  caller.insert(caller.end(), needed.begin(), needed.end());
  const auto environment = TrainerEnvironment(caller, {{"HF_TOKEN", "of the request"}}, {});
  EXPECT_THAT(environment, testing::IsSupersetOf(needed));
  for (const auto& entry : secret) EXPECT_THAT(environment, Not(Contains(entry)));
  EXPECT_THAT(environment, Contains("HF_TOKEN=of the request"));
}

TEST(Contract, TheToolkitFindsTheEndpointOfS3) {
  EXPECT_THAT(TrainerEnvironment({"AWS_ENDPOINT_URL_S3=http://host"}, {}, {}), Contains("S3_ENDPOINT_URL=http://host"));
  EXPECT_THAT(TrainerEnvironment({"AWS_ENDPOINT_URL_S3=http://host", "S3_ENDPOINT_URL=http://own"}, {}, {}),
              Contains("S3_ENDPOINT_URL=http://own"));
}

TEST(Contract, TheRegionHasEveryNameThatIsReadForIt) {
  using testing::IsSupersetOf;
  EXPECT_THAT(TrainerEnvironment({"AWS_DEFAULT_REGION=eu"}, {}, {}),
              IsSupersetOf({"AWS_REGION=eu", "AWS_DEFAULT_REGION=eu", "SAGEMAKER_REGION=eu"}));
  TrainingJob job;
  job.hyperparameters = {{"sagemaker_region", "\"us-east-1\""}};
  EXPECT_THAT(TrainerEnvironment({"AWS_REGION=eu"}, ContractEnvironment(job, {}, {}, "t.py"), {}),
              IsSupersetOf({"AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1", "SAGEMAKER_REGION=us-east-1"}));
  EXPECT_THAT(TrainerEnvironment({}, {}, {}), Not(Contains(testing::HasSubstr("REGION"))));
}

TEST(Contract, ChannelsAreToldAsTheyAre) {
  TrainingJob job;
  Channel pipe, fast, files, mounted;
  pipe.name = "pipe";
  pipe.content_type = "application/x-recordio";
  pipe.input_mode = InputMode::kPipe;
  pipe.is_record_io = true;
  pipe.s3 = S3Source{"s3://b/p"};
  pipe.s3->is_sharded = true;
  fast.name = "fast";
  fast.input_mode = InputMode::kFastFile;
  fast.s3 = S3Source{"s3://b/f"};
  files.name = "files";
  files.s3 = S3Source{"s3://b/d"};
  mounted.name = "mounted";
  mounted.file_system = FileSystemSource{"fs-1", "/d"};
  job.channels = {pipe, fast, files, mounted};
  const auto entry = [](const char* mode, const char* distribution, const char* wrapper) {
    return Json{{"TrainingInputMode", mode}, {"S3DistributionType", distribution}, {"RecordWrapperType", wrapper}};
  };
  Json expected = {{"pipe", entry("Pipe", "ShardedByS3Key", "RecordIO")},
                   {"fast", entry("FastFile", "FullyReplicated", "None")},
                   {"files", entry("File", "FullyReplicated", "None")},
                   {"mounted", entry("File", "FullyReplicated", "None")}};
  expected["pipe"]["ContentType"] = "application/x-recordio";
  EXPECT_EQ(InputDataConfig(job), expected);
}

TEST(Contract, ConfigFiles) {
  EXPECT_EQ(ResourceConfig({"ml.c5.xlarge", 4, 0})["instance_groups"][0]["instance_type"], "ml.c5.xlarge");
  EXPECT_EQ(PlainValue("\"train.py\""), "train.py");
  EXPECT_EQ(PlainValue("train.py"), "train.py");
  EXPECT_EQ(PlainValue("1"), "1");
}

}  // namespace
}  // namespace leat::jobs
