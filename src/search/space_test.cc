// SPDX-License-Identifier: Apache-2.0
#include "search/space.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "search/range_examples.h"

namespace leat::search {
namespace {

std::string ValueAt(const ParameterRange& range, double unit) {
  const Space space = Space::Make({range}).value();
  return space.Decode(space.FromUnits(Eigen::VectorXd::Constant(1, unit))).at(range.name);
}

TEST(Space, ScalesMeetTheirBoundsAndMiddles) {
  EXPECT_EQ(ValueAt(Continuous("x", "1e-05", "0.1", Scaling::kLogarithmic), 0), "1e-05");
  EXPECT_EQ(ValueAt(Continuous("x", "1e-05", "0.1", Scaling::kLogarithmic), 1), "0.1");
  EXPECT_EQ(ValueAt(Continuous("x", "1e-05", "0.1", Scaling::kLogarithmic), 0.5), "0.001");
  EXPECT_EQ(ValueAt(Continuous("x", "0.0001", "1", Scaling::kAuto), 0.5), "0.01");
  EXPECT_EQ(ValueAt(Continuous("x", "1", "3", Scaling::kAuto), 0.5), "2");
  EXPECT_EQ(ValueAt(Continuous("x", "0.9", "0.999", Scaling::kReverseLogarithmic), 0.5), "0.99");
  EXPECT_EQ(ValueAt(Integer("n", 1, 4), 0.0), "1");
  EXPECT_EQ(ValueAt(Integer("n", 1, 4), 0.2499), "1");
  EXPECT_EQ(ValueAt(Integer("n", 1, 4), 0.2501), "2");
  EXPECT_EQ(ValueAt(Integer("n", 1, 4), 0.9999), "4");
  EXPECT_EQ(ValueAt(Integer("n", 1, 10000, Scaling::kLogarithmic), 0.5), "71");
  EXPECT_EQ(ValueAt(Categories("c", {"a", "b", "c"}), 0.34), "b");
}

TEST(Space, TheExtremesOfDoubleAreRanges) {
  const auto widest = Continuous("x", "-1.5e308", "1.5e308", Scaling::kLinear);
  EXPECT_EQ(ValueAt(widest, 0), "-1.5e308");
  EXPECT_EQ(ValueAt(widest, 1), "1.5e308");
  EXPECT_EQ(ValueAt(widest, 0.75), "7.5e+307");
  EXPECT_EQ(ValueAt(Continuous("x", "1e-300", "1e300", Scaling::kAuto), 0.5), "1");
  EXPECT_EQ(ValueAt(Integer("n", -(int64_t{1} << 53), int64_t{1} << 53), 1), "9007199254740992");
  for (const auto& range : {widest, Continuous("x", "1e-300", "1e300"), Integer("x", 1, int64_t{1} << 53)}) {
    const Space space = Space::Make({range}).value();
    Random random(1);
    for (int i = 0; i < 100; ++i) {
      const Point point = space.Snap(space.Draw(random));
      EXPECT_GE(point[0], 0);
      EXPECT_LE(point[0], 1);
      EXPECT_EQ(space.Decode(point), space.Decode(*space.Encode(space.Decode(point))));
    }
  }
}

TEST(Space, ANarrowRangeGetsTheDigitsItNeeds) {
  EXPECT_EQ(ValueAt(Continuous("x", "1000000", "1000001"), 0.25), "1000000.25");
  const Space space = Space::Make({Continuous("x", "0.99999999", "1")}).value();
  Random random(1);
  std::set<std::string> values;
  for (int i = 0; i < 100; ++i) values.insert(space.Decode(space.Draw(random)).at("x"));
  EXPECT_GT(values.size(), 95u);
}

TEST(Space, DecodingWhatWasEncodedChangesNothing) {
  const Space space = Space::Make({Continuous("x", "0.001", "10", Scaling::kLogarithmic), Integer("n", -3, 500),
                                   Categories("c", {"a", "b"})})
                          .value();
  Random random(2);
  for (int i = 0; i < 200; ++i) {
    const Suggestion suggestion = space.Decode(space.Draw(random));
    const Point point = space.Encode(suggestion).value();
    EXPECT_EQ(space.Decode(point), suggestion);
    EXPECT_EQ(space.Snap(point), point);
  }
  EXPECT_FALSE(space.Encode({{"x", "1"}, {"n", "2"}, {"c", "z"}}));
  EXPECT_FALSE(space.Encode({{"x", "fast"}, {"n", "2"}, {"c", "a"}}));
}

TEST(Space, ARangeWithOneValueIsNoDimension) {
  const Space space =
      Space::Make({Continuous("x", "0.5", "0.5"), Integer("n", 7, 7), Categories("c", {"only"})}).value();
  EXPECT_EQ(space.size(), 0);
  EXPECT_EQ(space.Count(), 1u);
  EXPECT_EQ(space.Decode(Point(0)), (Suggestion{{"x", "0.5"}, {"n", "7"}, {"c", "only"}}));
}

TEST(Space, AChildIsThereOnlyWithItsParentsValue) {
  const Space space = Space::Make({When(Continuous("momentum", "0", "1"), "optimizer", {"sgd"}),
                                   Categories("optimizer", {"adam", "sgd"}),
                                   When(Integer("window", 1, 3), "momentum_kind", {"averaged"}),
                                   When(Categories("momentum_kind", {"plain", "averaged"}), "optimizer", {"sgd"}),
                                   When(Integer("never", 1, 9), "fixed", {"b"}), Categories("fixed", {"a"}),
                                   When(Integer("constant", 4, 4), "optimizer", {"adam"})})
                          .value();
  Random random(3);
  std::set<std::set<std::string>> shapes;
  for (int i = 0; i < 100; ++i) {
    std::set<std::string> names;
    const Suggestion suggestion = space.Decode(space.Draw(random));
    for (const auto& [name, value] : suggestion) names.insert(name);
    shapes.insert(names);
    EXPECT_EQ(space.Decode(*space.Encode(suggestion)), suggestion);
  }
  EXPECT_EQ(shapes, (std::set<std::set<std::string>>{{"optimizer", "fixed", "constant"},
                                                     {"optimizer", "fixed", "momentum", "momentum_kind"},
                                                     {"optimizer", "fixed", "momentum", "momentum_kind", "window"}}));
}

TEST(Space, ConditionsThatCannotHoldAreRefused) {
  const auto code = [](const std::vector<ParameterRange>& ranges) { return Space::Make(ranges).error().code; };
  EXPECT_EQ(code({When(Integer("a", 1, 2), "b", {"1"})}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({When(Integer("a", 1, 2), "b", {"1"}), When(Integer("b", 1, 2), "a", {"1"})}),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({Continuous("x", "0", "1"), When(Integer("a", 1, 2), "x", {"1"})}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({Categories("c", {"u", "v"}), When(Integer("a", 1, 2), "c", {"w"})}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({Integer("n", 1, 3), When(Integer("a", 1, 2), "n", {"4"})}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({Categories("c", {})}), ErrorCode::kNotFound);
}

TEST(Space, CombinationsOfConditionalRangesAreCountedOnce) {
  const Space space = Space::Make({Categories("a", {"x", "y"}), When(Integer("b", 1, 3), "a", {"x"})}).value();
  EXPECT_EQ(space.Count(), 4u);
  EXPECT_EQ(space.All().size(), 4u);
  EXPECT_EQ(Space::Make({Integer("n", 1, 1000), Integer("m", 1, 1000)}).value().Count(), kEnumerableMax + 1);
  EXPECT_EQ(Space::Make({Continuous("x", "0", "1")}).value().Count(), kEnumerableMax + 1);
}

}  // namespace
}  // namespace leat::search
