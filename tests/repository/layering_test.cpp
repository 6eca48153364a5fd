// Every #include of the tree obeys the table in STYLE.md; and the check finds what is planted.
#include "tests/repository/layering.h"

namespace coppice::repository {
namespace {

void finds(const SourceTree& tree, const std::string& message) {
  CHECK_THAT(joined(layering_violations(tree)), Catch::Contains(message));
}

}  // namespace

TEST_CASE("every include of the tree obeys the layering") {
  CHECK(joined(layering_violations(read_sources())) == "");
}

TEST_CASE("an include against the table is found with its line") {
  finds({{"core/a.h", "// x\n#include \"search/b.h\"\n"}, {"search/b.h", ""}},
        "core/a.h:2: core may not include search");
  finds({{"planner/a.cpp", "#include \"search/b.h\"\n"}, {"search/b.h", ""}}, "may not include");
  CHECK(layering_violations({{"search/a.cpp", "#include \"planner/b.h\"\n"}, {"planner/b.h", ""}})
            .empty());
}

TEST_CASE("an include that the tree does not hold is found") {
  finds({{"core/a.h", "  #  include \"core/gone.h\"\n"}}, "not in the tree");
}

TEST_CASE("a package outside its folder is found") {
  finds({{"search/a.cpp", "#include <sqlite3.h>\n"}}, "belongs to archive");
  finds({{"cli/a.cpp", "#include <Eigen/Dense>\n"}}, "belongs to planner");
  finds({{"archive/a.cpp", "#include <boost/any.hpp>\n"}}, "no known package");
  CHECK(layering_violations({{"archive/a.cpp", "#include <sqlite3.h>\n"}}).empty());
}

TEST_CASE("a package that reaches another folder through headers is found") {
  finds({{"planner/private.h", "#include <Eigen/Dense>\n"},
         {"planner/public.h", "#include \"planner/private.h\"\n"},
         {"search/a.cpp", "#include \"planner/public.h\"\n"}},
        "brings <Eigen/Dense> into another folder");
}

TEST_CASE("json.hpp outside core/*_json.cpp is found") {
  finds({{"core/json.h", "#include <nlohmann/json.hpp>\n"}}, "only by core/*_json.cpp");
  CHECK(layering_violations({{"core/value_json.cpp", "#include <nlohmann/json.hpp>\n"}}).empty());
}

TEST_CASE("clocks, threads and files in the search are found") {
  finds({{"search/a.cpp", "#include <thread>\n"}}, "no clock, thread, file or device");
  finds({{"planner/a.h", "#include <fstream>\n"}}, "no clock, thread, file or device");
}

TEST_CASE("headers that cost every includer are found") {
  finds({{"cli/a.cpp", "#include <regex>\n"}}, "<regex>");
  finds({{"cli/a.h", "#include <iostream>\n"}}, "<iostream> in a header");
}

}  // namespace coppice::repository
