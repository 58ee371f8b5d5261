// SPDX-License-Identifier: Apache-2.0
#include "search/decay.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace leat::search {
namespace {

TEST(Decay, IsTheExponential) {
  std::vector<double> scaled;
  for (double s = 0; s < 700; s = s * 1.01 + 1e-9) scaled.push_back(s);
  std::vector<double> decays(scaled.size());
  Decay(scaled.data(), decays.data(), static_cast<Eigen::Index>(scaled.size()));
  for (size_t i = 0; i < scaled.size(); ++i) {
    const double exact = std::exp(-scaled[i]);
    EXPECT_NEAR(decays[i], exact, exact * 2 * std::numeric_limits<double>::epsilon()) << scaled[i];
  }
}

TEST(Decay, EndsOfItsDomain) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Eigen::ArrayXd decays = Decay(Eigen::ArrayXd{{0, 1e6, std::numeric_limits<double>::infinity(), nan, 1e-300}});
  EXPECT_EQ(decays[0], 1);
  EXPECT_EQ(decays[1], std::exp(-700.0));
  EXPECT_EQ(decays[2], decays[1]);
  EXPECT_TRUE(std::isnan(decays[3]));
  EXPECT_EQ(decays[4], 1);
}

// What a number becomes does not depend on where it stands, nor on how many there are.
TEST(Decay, OfAnyLengthInPlace) {
  for (Eigen::Index size = 0; size < 10; ++size) {
    Eigen::ArrayXd values = Eigen::ArrayXd::LinSpaced(size, 0.1, 3);
    const Eigen::ArrayXd scaled = values;
    Decay(values.data(), values.data(), size);
    for (Eigen::Index i = 0; i < size; ++i) EXPECT_EQ(values[i], Decay(Eigen::ArrayXd{{scaled[i]}})[0]);
  }
}

}  // namespace
}  // namespace leat::search
