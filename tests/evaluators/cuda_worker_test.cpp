// Worker processes and their messages, without a device.
#include "evaluators/cuda/compile_server.h"
#include "evaluators/cuda/layout.h"
#include "evaluators/cuda/wire.h"
#include "evaluators/cuda/worker_process.h"
#include "tests/support/catch.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace coppice;
using namespace coppice::evaluators::cuda;

namespace {

WorkerHandler make_echo() {
  return [](std::uint32_t request, std::string_view payload, std::string& reply) {
    if (request == 1) {
      pause();
    } else if (request == 2) {
      signal(SIGSEGV, SIG_DFL);  // not the test runner's handler
      raise(SIGSEGV);
    } else if (request == 3) {
      _exit(7);
    }
    reply = std::string(payload) + "!";
    return true;
  };
}

Result<WorkerProcess> echo() {
  return WorkerProcess::start("echo", [] { return make_echo(); });
}

}  // namespace

TEST_CASE("a worker answers again and again") {
  auto worker = echo();
  REQUIRE(worker.ok());
  for (int i = 0; i < 3; ++i) {
    const WorkerReply reply = worker->call(0, std::string(100000, 'x'), std::chrono::seconds(5));
    REQUIRE(reply.outcome == WorkerReply::Outcome::answered);
    CHECK(reply.payload.size() == 100001);
  }
}

TEST_CASE("a worker that hangs is found at its deadline and can be killed") {
  auto worker = echo();
  const WorkerReply reply = worker->call(1, "", std::chrono::milliseconds(30));
  CHECK(reply.outcome == WorkerReply::Outcome::timed_out);
  CHECK(worker->kill());
  CHECK(!worker->alive());
}

TEST_CASE("a worker that dies tells how") {
  auto crashed = echo();
  const WorkerReply reply = crashed->call(2, "", std::chrono::seconds(5));
  CHECK(reply.outcome == WorkerReply::Outcome::died);
  CHECK(reply.detail == "killed by signal 11");
  auto left = echo();
  CHECK(left->call(3, "", std::chrono::seconds(5)).detail == "exit status 7");
  CHECK(left->call(0, "", std::chrono::seconds(5)).outcome == WorkerReply::Outcome::died);
}

TEST_CASE("compile jobs stand behind the program's own processes for a core") {
  const int own = getpriority(PRIO_PROCESS, 0);
  const auto server = CompileServer::start(
      [](std::string_view) { return std::to_string(getpriority(PRIO_PROCESS, 0)); });
  REQUIRE(server.ok());
  const auto job = (*server)->begin();
  REQUIRE(job.ok());
  const std::uint64_t none = 0;
  REQUIRE(send(*job, &none, sizeof none, MSG_NOSIGNAL) == sizeof none);
  std::int32_t pid = 0;
  REQUIRE(recv(*job, &pid, sizeof pid, MSG_WAITALL) == sizeof pid);
  char answer[8] = {};
  REQUIRE(recv(*job, answer, sizeof answer - 1, MSG_WAITALL) > 0);
  close(*job);
  CHECK(std::atoi(answer) == std::min(19, own + kCompilersBelow));
}

TEST_CASE("records come back as they were written, and torn ones never read outside") {
  const std::string bytes =
      WireWriter().put<std::uint64_t>(5).text("abc").list(std::vector<float>{1, 2}).take();
  WireReader in(bytes);
  CHECK(in.get<std::uint64_t>() == 5);
  CHECK(in.text() == "abc");
  CHECK(in.list<float>() == std::vector<float>{1, 2});
  CHECK(in.at_end());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    WireReader torn(std::string_view(bytes).substr(0, size));
    torn.get<std::uint64_t>();
    torn.text();
    torn.list<float>();
    CHECK(!torn.ok());
  }
  const std::string too_long = WireWriter().put<std::uint64_t>(~0ull).take();
  WireReader huge(too_long);
  CHECK(huge.list<double>().empty());
  CHECK(!huge.ok());
}

TEST_CASE("tensors of a workload lie apart, with guards, in whole regions") {
  std::vector<TensorInfo> tensors(4);
  const TensorRole roles[] = {
      TensorRole::value, TensorRole::structure, TensorRole::value, TensorRole::output};
  for (std::size_t i = 0; i < 4; ++i) {
    tensors[i].name = std::string(1, static_cast<char>('a' + i));
    tensors[i].role = roles[i];
    tensors[i].bytes = 1000 * (i + 1);
  }
  const WorkloadLayout layout = make_layout("w", tensors, 3, 2);
  const TensorInfo& a = *layout.find("a");
  const TensorInfo& c = *layout.find("c");
  CHECK(layout.input_offset(a, 0) >= layout.structure_bytes + kGuardBytes);
  CHECK(layout.input_offset(c, 0) >= layout.input_offset(a, 0) + 1000 + kGuardBytes);
  CHECK(layout.input_offset(a, 1) - layout.input_offset(a, 0) == layout.set_stride);
  CHECK(layout.input_offset(c, 2) + 3000 + kGuardBytes <= layout.inputs_bytes);
  CHECK(layout.input_offset(*layout.find("b"), 2) == layout.input_offset(*layout.find("b"), 0));
  CHECK(layout.inputs_bytes % kRegionUnit == 0);
  CHECK(layout.value_bytes == 4000);
}
