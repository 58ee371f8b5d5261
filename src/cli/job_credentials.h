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
  // `variables`: the submitter's environment, NAME=value, as far as it is known. `identity`: whose credentials it
  // names, if any. While they are not known none are sought in files or of the machine: they would be somebody else's.
  JobCredentials(std::string state_directory, std::string job, std::vector<std::string> variables,
                 std::string identity);
  ~JobCredentials() override;

  Result<Given> Begin() override;
  // A later environment of the submitter's. One without credentials, or with those of another identity, changes
  // nothing: a script shall not come by more than it was submitted with.
  void Renew(const std::vector<std::string>& variables);

  // After the job's end.
  static void Remove(const std::string& state_directory, const std::string& job);
  // Whether variables name credentials, or where to find them.
  static bool AreIn(const std::vector<std::string>& variables);
  // Whose they are: an access key's checksum, a profile, a role. Empty: there are none.
  static std::string IdentityIn(const std::vector<std::string>& variables);
  // Before a job is submitted, in the submitter's process: whether there is anything to pass on. Blocks for seconds.
  static Status Check();

 private:
  Result<std::unique_ptr<CredentialsEndpoint>> StartEndpoint(const std::optional<CredentialsEndpoint::Address>& kept);
  std::optional<CredentialsEndpoint::Address> ReadAddress() const;
  void AddPlaceOfS3(Given& given) const;
  std::string File() const;

  const std::string state_directory_, job_;
  const std::vector<std::string> variables_;
  const std::string identity_;
  posix::SystemClock clock_;
  s3::TemporaryCredentials credentials_;
  std::unique_ptr<CredentialsEndpoint> endpoint_;  // last: it asks the others
};

}  // namespace leat::cli
