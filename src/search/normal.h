// SPDX-License-Identifier: Apache-2.0
// The standard normal distribution, as an acquisition needs it. Any thread.
#pragma once

namespace leat::search {

double NormalDensity(double z);
double NormalDistribution(double z);
// The z below which a part `probability` (in (0, 1)) lies.
double NormalQuantile(double probability);

// log(density(z) + z distribution(z)): the logarithm of the expected improvement of a unit normal whose mean is z above
// the incumbent; exact far below it too, where the improvement itself is 0 in a double (Ament 2023). `slope` gets its
// derivative.
double LogImprovement(double z, double& slope);

// log(distribution(z)); `slope` gets its derivative.
double LogDistribution(double z, double& slope);

}  // namespace leat::search
