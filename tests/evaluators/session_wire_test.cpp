// Sessions on their way to a device agent.
#include "evaluators/session_wire.h"

#include "experiments/op_loader.h"
#include "tests/support/catch.h"

using namespace coppice;
using namespace coppice::evaluators;

TEST_CASE("a session tells an agent how thoroughly to look at the op's references") {
  const auto op = experiments::load_op(std::string(COPPICE_SOURCE_DIR) + "/experiments/ops/gemm");
  REQUIRE(op.ok());
  DeviceSession session;
  session.op = *op;
  session.suite = op->suites.front().name;
  for (const bool thorough : {true, false}) {
    session.thorough = thorough;
    const Json json = to_json(session);
    const auto back = device_session(json.reader("session"));
    REQUIRE(back.ok());
    CHECK(back->thorough == thorough);
    CHECK(back->suite == session.suite);
  }
}
