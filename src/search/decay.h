// SPDX-License-Identifier: Apache-2.0
// e^-s over arrays: what a fit of the surrogate spends most of its time on. Any thread.
#pragma once

#include <Eigen/Core>

namespace leat::search {

// decays[i] = e^-scaled[i] for scaled[i] >= 0, within two units in the last place; NaN stays NaN, and what is below
// e^-700 counts as e^-700. The same bits on every processor, though four at a time where it has AVX2. `decays` may be
// `scaled`.
void Decay(const double* scaled, double* decays, Eigen::Index size);

inline Eigen::ArrayXd Decay(const Eigen::ArrayXd& scaled) {
  Eigen::ArrayXd decays(scaled.size());
  Decay(scaled.data(), decays.data(), scaled.size());
  return decays;
}

}  // namespace leat::search
