// SPDX-License-Identifier: Apache-2.0
// JobCredentials: the submitter's credentials for the script of one job (--pass-credentials), at an endpoint on
// loopback that is there while the job is run. Port, path and token are kept in the job's directory until the job has
// ended, so that the script finds them again when another supervisor takes the job up; credentials are in memory only.
//
// Threads: Renew from any; the rest from one at a time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/credentials_endpoint.h"
#include "jobs/services.h"
#include "posix/system_clock.h"
#include "s3/temporary_credentials.h"

namespace leat::cli {

class JobCredentials final : public jobs::ScriptService {
 public:
  // `variables`: the submitter's environment, NAME=value, as far as it is known. `environment_has_credentials`: it
  // names some. While they are not known none are sought in files or of the machine: they would be somebody else's.
  JobCredentials(std::string state_directory, std::string job, std::vector<std::string> variables,
                 bool environment_has_credentials);
  ~JobCredentials() override;

  Result<Given> Begin() override;
  // A later environment of the submitter's. One without credentials changes nothing.
  void Renew(const std::vector<std::string>& variables);

  // After the job's end.
  static void Remove(const std::string& state_directory, const std::string& job);
  // Whether variables name credentials, or where to find them.
  static bool AreIn(const std::vector<std::string>& variables);
  // Before a job is submitted, in the submitter's process: whether there is anything to pass on. Blocks for seconds.
  static Status Check();

 private:
  Result<std::unique_ptr<CredentialsEndpoint>> StartEndpoint(const std::optional<CredentialsEndpoint::Address>& kept);
  std::optional<CredentialsEndpoint::Address> ReadAddress() const;
  void AddPlaceOfS3(Given& given) const;
  std::string File() const;

  const std::string state_directory_, job_;
  const std::vector<std::string> variables_;
  posix::SystemClock clock_;
  s3::TemporaryCredentials credentials_;
  std::unique_ptr<CredentialsEndpoint> endpoint_;  // last: it asks the others
};

}  // namespace leat::cli
