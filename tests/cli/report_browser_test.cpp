// The report in a real browser: everything is drawn, and the console stays silent.
#include "cli/command.h"
#include "tests/cli/fake_run.h"
#include "tests/support/skip.h"

#include <cstdlib>

using namespace coppice;
using namespace coppice::tests;

namespace {

std::string browser() {
  for (const char* name : {"chromium", "chromium-browser", "google-chrome"}) {
    if (std::system(("command -v " + std::string(name) + " >/dev/null 2>&1").c_str()) == 0) {
      return name;
    }
  }
  return "";
}

}  // namespace

TEST_CASE("a browser draws the whole report without a console message", "[slow]") {
  const std::string program = browser();
  if (program.empty()) {
    COPPICE_SKIP("no chromium here");
  }
  FakeWorld fake(40);
  const std::string run = fake.run();
  const std::string page = fake.folder / "report.html";
  Streams streams;
  REQUIRE(cli::run_program({"report", run, "--archive", fake.folder / "archive", "--output", page},
                           streams.console) == 0);
  const std::string command = "timeout 120 " + program +
                              " --headless --no-sandbox --disable-gpu --enable-logging=stderr"
                              " --user-data-dir=" +
                              (fake.folder / "profile") + " --dump-dom file://" + page + " >" +
                              (fake.folder / "dom") + " 2>" + (fake.folder / "log");
  REQUIRE(std::system(command.c_str()) == 0);
  const std::string dom = read(fake.folder / "dom");
  const std::string log = read(fake.folder / "log");
  INFO(log);
  CHECK(log.find("CONSOLE") == std::string::npos);
  CHECK(dom.find("data-drawn=\"yes\"") != std::string::npos);
  for (const char* figure : {"curve", "tree-figure", "frontier-figure"}) {
    CAPTURE(figure);
    const std::size_t at = dom.find("id=\"" + std::string(figure) + "\"");
    REQUIRE(at != std::string::npos);
    CHECK(dom.find("<svg", at) < dom.find("</section>", at));
  }
  CHECK(dom.find("<table", dom.find("id=\"workloads\"")) != std::string::npos);
}
