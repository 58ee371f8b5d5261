// SPDX-License-Identifier: Apache-2.0
#include "model/known_members.h"

#include <gmock/gmock.h>

namespace leat {
namespace {

using Json = nlohmann::json;
using testing::ElementsAre;
using testing::IsEmpty;

KnownMembers Known() {
  KnownMembers known;
  for (const char* name : {"Stopping", "List", "Map", "ScalingType"}) known.Add("", name);
  known.Add("Stopping", "MaxRuntimeInSeconds");
  for (const char* name : {"Name", "Seed"}) known.Add("List[3]", name);
  return known;
}

TEST(KnownMembers, WhatIsNotKnownIsToldByItsPathWithTheNearestName) {
  const Json request = {{"Stopping", {{"MaxRunTimeInSeconds", 60}}},
                        {"List", {{{"Name", 1}}, {{"Nmae", 1}, {"Size", 2}}, 7}},
                        {"Map", {{"anything", {{"goes", 1}}}}},
                        {"Scaling", "x"},
                        {"Colour", "blue"}};
  EXPECT_THAT(
      Known().WarningsOf(request, "Do"),
      ElementsAre("'Colour' is no member of Do and is ignored", "'List[1].Nmae' is no member of Do and is ignored",
                  "'List[1].Size' is no member of Do and is ignored",
                  "'Scaling' is no member of Do and is ignored; is ScalingType meant?",
                  "'Stopping.MaxRunTimeInSeconds' is no member of Do and is ignored; is MaxRuntimeInSeconds "
                  "meant?"));
}

TEST(KnownMembers, OneRequestStandsInAnother) {
  KnownMembers outer;
  outer.Add("", "Definitions");
  outer.AddBelow("Definitions[0]", Known());
  outer.Remove("Definitions[0]", "Map");
  const Json request = {{"Definitions", {{{"Stopping", {{"Max", 1}}}}, {{"Map", Json::object()}}}}};
  EXPECT_THAT(outer.WarningsOf(request, "Do"),
              ElementsAre("'Definitions[0].Stopping.Max' is no member of Do and is ignored",
                          "'Definitions[1].Map' is no member of Do and is ignored"));
  EXPECT_THAT(outer.WarningsOf({{"Definitions", {1, nullptr, "text"}}}, "Do"), IsEmpty());
}

TEST(KnownMembers, ManyAreToldInAFewLines) {
  Json request = {{std::string(1 << 20, 'n'), 1}};
  for (int i = 0; i < 100; ++i) request["X" + std::to_string(i)] = i;
  const auto warnings = Known().WarningsOf(request, "Do");
  ASSERT_EQ(warnings.size(), 21u);
  EXPECT_EQ(warnings.back(), "so are 81 more");
  for (const auto& warning : warnings) EXPECT_LT(warning.size(), 200u);
}

}  // namespace
}  // namespace leat
