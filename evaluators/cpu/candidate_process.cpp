// Order inside a candidate process: map memory, make threads, limits, first filter, map the kernel,
// second filter, serve. Candidate code runs after all of it.

#include "evaluators/cpu/candidate_process.h"

#include "evaluators/child.h"
#include "evaluators/cpu/kernel_loader.h"
#include "evaluators/cpu/shared_memory.h"
#include "evaluators/cpu/thread_pool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>

namespace coppice::evaluators::cpu {
namespace {

constexpr Nanoseconds kAnswer = std::chrono::seconds(10);
constexpr Nanoseconds kIdle = std::chrono::hours(24 * 365);

struct Walls {
  bool namespaces = false;
  bool files = false;
  std::optional<Filters> filters;
};

[[noreturn]] void fail(ControlBlock& control, const std::string& why) {
  std::snprintf(control.message, sizeof control.message, "%s", why.c_str());
  control.phase.store(static_cast<std::uint32_t>(Phase::failed), std::memory_order_release);
  futex_wake(control.phase);
  ::_exit(3);
}

// All regions in one reservation, each between two inaccessible pages.
class AddressSpace {
 public:
  explicit AddressSpace(std::uint64_t bytes)
      : at_(static_cast<char*>(::mmap(
            nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {}
  bool ok() const { return at_ != MAP_FAILED; }
  // The address of `offset` of the file; null when it can't be mapped.
  char* map(int fd, std::uint64_t offset, std::uint64_t bytes, bool writable) {
    at_ += whole_pages(1);
    void* got = ::mmap(at_,
                       bytes,
                       writable ? PROT_READ | PROT_WRITE : PROT_READ,
                       MAP_SHARED | MAP_FIXED | MAP_POPULATE,
                       fd,
                       static_cast<off_t>(offset));
    at_ += bytes + whole_pages(1);
    return got == MAP_FAILED ? nullptr : static_cast<char*>(got);
  }
  static std::uint64_t room(std::uint64_t bytes) { return bytes + 2 * whole_pages(1); }

 private:
  char* at_;
};

using Addresses = std::map<std::string, char*, std::less<>>;

struct Mapped {
  Addresses inputs, workspace;
  std::vector<Addresses> outputs;  // per slot
};

void note_region(
    ControlBlock& control, const char* at, const Place& p, std::uint32_t kind, std::size_t index) {
  if (at != nullptr && control.n_regions < std::size(control.regions)) {
    const auto begin = reinterpret_cast<std::uint64_t>(at);
    control.regions[control.n_regions++] = {
        begin, begin + p.region_bytes, kind, static_cast<std::uint32_t>(index)};
  }
}

Mapped map_all(const CandidateStart& start, const std::vector<Fd>& files, ControlBlock& control) {
  std::uint64_t bytes = AddressSpace::room(start.workspace.bytes);
  for (const Place& p : start.layout.inputs) {
    bytes += AddressSpace::room(p.region_bytes);
  }
  for (const Place& p : start.layout.outputs) {
    bytes += AddressSpace::room(p.region_bytes) * static_cast<std::uint64_t>(start.slots);
  }
  AddressSpace space(bytes);
  Mapped out;
  bool ok = space.ok();
  for (std::size_t i = 0; i < start.layout.inputs.size(); ++i) {
    const Place& p = start.layout.inputs[i];
    char* at = ok ? space.map(files[1].get(), p.region, p.region_bytes, false) : nullptr;
    ok = at != nullptr;
    note_region(control, at, p, 0, i);
    out.inputs.emplace(p.tensor.name, at + (p.data - p.region));
  }
  for (int slot = 0; slot < start.slots; ++slot) {
    Addresses addresses;
    for (std::size_t i = 0; i < start.layout.outputs.size(); ++i) {
      const Place& p = start.layout.outputs[i];
      const std::uint64_t origin = start.layout.slot_bytes * static_cast<std::uint64_t>(slot);
      char* at = ok ? space.map(files[2].get(), origin + p.region, p.region_bytes, true) : nullptr;
      ok = at != nullptr;
      note_region(control, at, p, 1, i);
      addresses.emplace(p.tensor.name, at + (p.data - p.region));
    }
    out.outputs.push_back(std::move(addresses));
  }
  if (ok && start.workspace.bytes > 0) {
    char* at = space.map(files[3].get(), 0, start.workspace.bytes, true);
    ok = at != nullptr;
    Place whole;
    whole.region_bytes = start.workspace.bytes;
    note_region(control, at, whole, 2, 0);
    for (const auto& [name, offset] : start.workspace.slices) {
      out.workspace.emplace(name, at + offset);
    }
  }
  if (!ok) {
    fail(control, fmt::format("map {} bytes: {}", bytes, std::strerror(errno)));
  }
  return out;
}

void* address_of(const Addresses& a, const Addresses& b, const std::string& name) {
  const auto first = a.find(name);
  if (first != a.end()) {
    return first->second;
  }
  const auto second = b.find(name);
  return second == b.end() ? nullptr : second->second;
}

// Numbers that arguments point at.
struct Numbers {
  std::vector<std::unique_ptr<std::int64_t>> integers;
  std::vector<std::unique_ptr<float>> reals;
};

BoundPlan bind_plan(const ResolvedPlan& plan,
                    const Mapped& mapped,
                    const Addresses& outputs,
                    const std::map<std::string, KernelEntry, std::less<>>& entries,
                    Numbers& numbers) {
  BoundPlan out;
  for (const ResolvedStep& step : plan.steps) {
    BoundStep bound;
    if (step.kind == StepKind::fill) {
      bound.fill_at = address_of(mapped.workspace, outputs, step.target);
      bound.fill_byte = step.byte;
      for (const auto& [name, bytes] : plan.workspace) {
        bound.fill_bytes =
            name == step.target ? static_cast<std::uint64_t>(bytes) : bound.fill_bytes;
      }
      out.push_back(std::move(bound));
      continue;
    }
    bound.entry = entries.at(step.entry);
    std::copy(step.grid.begin(), step.grid.end(), bound.grid);
    for (const ResolvedArg& arg : step.args) {
      switch (arg.kind) {
        case ArgKind::tensor:
          bound.args.push_back(address_of(mapped.inputs, outputs, arg.name));
          break;
        case ArgKind::workspace: {
          void* at = address_of(mapped.workspace, {}, arg.name);
          bound.args.push_back(static_cast<char*>(at) + arg.integer);
          break;
        }
        case ArgKind::dim:
          numbers.integers.push_back(std::make_unique<std::int64_t>(arg.integer));
          bound.args.push_back(numbers.integers.back().get());
          break;
        case ArgKind::scalar:
          numbers.reals.push_back(std::make_unique<float>(static_cast<float>(arg.real)));
          bound.args.push_back(numbers.reals.back().get());
          break;
        case ArgKind::tensor_map:
          bound.args.push_back(nullptr);
          break;
      }
    }
    out.push_back(std::move(bound));
  }
  return out;
}

// A fill of an output covers the tensor.
void fill_output_bytes(BoundPlan& bound, const ResolvedPlan& plan, const Layout& layout) {
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    for (const Place& p : layout.outputs) {
      if (plan.steps[i].kind == StepKind::fill && plan.steps[i].target == p.tensor.name) {
        bound[i].fill_bytes = p.tensor.bytes;
      }
    }
  }
}

Isolation reached(const Walls& walls, bool filtered) {
  if (!filtered) {
    return Isolation::none;
  }
  if (!walls.namespaces) {
    return Isolation::process;
  }
  return walls.files ? Isolation::full : Isolation::namespaces;
}

using KernelEntries = std::map<std::string, KernelEntry, std::less<>>;

// Maps the candidate's code and finds the plan's kernels in it; ends the process where it can't.
KernelEntries load_kernels(ControlBlock& control,
                           std::string_view bytes,
                           const ResolvedPlan& plan) {
  const auto image = read_elf(bytes);
  if (!image.ok()) {
    fail(control, image.error().message);
  }
  const auto imports = import_table(*image);
  if (!imports.ok()) {
    fail(control, imports.error().message);
  }
  std::vector<std::string> wanted;
  for (const ResolvedStep& step : plan.steps) {
    if (step.kind == StepKind::kernel) {
      wanted.push_back(step.entry);
    }
  }
  auto entries = map_image(bytes, *image, *imports, wanted);
  if (!entries.ok()) {
    fail(control, entries.error().message);
  }
  for (const std::string& name : wanted) {
    if (entries->find(name) == entries->end()) {
      fail(control, fmt::format("no kernel named '{}'", name));
    }
  }
  return std::move(*entries);
}

// The last step before candidate code may run. `filter`: null where there is none.
[[noreturn]] void serve_candidate(ControlBlock& control,
                                  ThreadPool& pool,
                                  std::vector<BoundPlan> plans,
                                  const std::vector<std::uint64_t>* filter) {
  if (!pool.set_plans(std::move(plans))) {
    fail(control, "memory could not be made read-only");
  }
  if (filter != nullptr && !install(*filter)) {
    fail(control, "the second filter was refused");
  }
  pool.serve();
}

[[noreturn]] void candidate(CandidateStart start, std::vector<Fd> files, const Walls& walls) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_NAME, "coppice-kernel");
  auto control_map = Mapping::of(files[0].get(), kControlBytes, true);
  if (!control_map.ok()) {
    ::_exit(3);
  }
  static Mapping control_mapping = std::move(*control_map);
  ControlBlock& control = *reinterpret_cast<ControlBlock*>(control_mapping.data());
  const off_t binary_bytes = ::lseek(files[4].get(), 0, SEEK_END);
  auto binary = Mapping::of(
      files[4].get(), static_cast<std::uint64_t>(std::max<off_t>(binary_bytes, 1)), false);
  if (!binary.ok()) {
    fail(control, binary.error().message);
  }
  const Mapped mapped = map_all(start, files, control);
  files.clear();
  ::close_range(0, ~0U, 0);
  watch_signals(control);
  static ThreadPool pool(control, start.threads);
  if (!pool.start()) {
    fail(control, "no memory for stacks");
  }
  set_limits({});
  const bool first = walls.filters && install(walls.filters->loading);
  control.isolation = static_cast<std::uint32_t>(reached(walls, first));
  control.phase.store(static_cast<std::uint32_t>(Phase::locked), std::memory_order_release);

  if (start.plan.steps.empty()) {  // measures what a launch costs by itself
    BoundStep nothing;
    nothing.entry = [](const Task*, void* const*) {
    };
    nothing.grid[0] = start.threads;
    serve_candidate(
        control, pool, {BoundPlan{std::move(nothing)}}, first ? &walls.filters->running : nullptr);
  }
  const KernelEntries entries = load_kernels(
      control, {reinterpret_cast<const char*>(binary->data()), binary->size()}, start.plan);
  static Numbers numbers;
  std::vector<BoundPlan> plans;
  for (int slot = 0; slot < start.slots; ++slot) {
    plans.push_back(bind_plan(
        start.plan, mapped, mapped.outputs[static_cast<std::size_t>(slot)], entries, numbers));
    fill_output_bytes(plans.back(), start.plan, start.layout);
  }
  serve_candidate(control, pool, std::move(plans), first ? &walls.filters->running : nullptr);
}

// Starts a candidate as a child of *our* parent, so that the agent can wait for it.
pid_t fork_for_parent() {
  return static_cast<pid_t>(
      ::syscall(SYS_clone, CLONE_PARENT | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
}

// The first process of the new process namespace; it must live as long as the namespace is used.
void start_namespace_init() {
  if (::fork() == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::close_range(0, ~0U, 0);
    while (true) {
      ::pause();
    }
  }
}

Walls build_walls() {
  Walls walls;
  if (auto filters = compile_filters(); filters.ok()) {
    walls.filters = std::move(*filters);
  }
  import_address("exp");  // loads the mathematical libraries while there is a file system
  if (std::FILE* file = std::fopen("/proc/self/oom_score_adj", "w")) {
    std::fputs("1000", file);
    std::fclose(file);
  }
  walls.namespaces = enter_namespaces();
  if (walls.namespaces) {
    start_namespace_init();
  } else {
    drop_privileges();
  }
  walls.files = restrict_files();
  return walls;
}

}  // namespace

int run_candidate_launcher(int socket) {
  ::prctl(PR_SET_NAME, "coppice-launch");
  ::signal(SIGCHLD, SIG_DFL);
  Channel channel{Fd(socket)};
  const Walls walls = build_walls();
  const Isolation level = reached(walls, walls.filters.has_value());
  if (!channel.send(Json::object().set("isolation", to_text(level)), kAnswer).ok()) {
    return 0;
  }
  while (true) {
    Result<Message> request = channel.receive(kIdle);
    if (!request.ok()) {
      return 0;
    }
    auto start = candidate_start(request->json.reader("start"));
    if (!start.ok() || request->descriptors.size() != 5) {
      return 3;
    }
    const pid_t pid = fork_for_parent();
    if (pid == 0) {
      channel.close();
      candidate(std::move(*start), std::move(request->descriptors), walls);
    }
    if (!channel.send(Json::object().set("pid", static_cast<std::int64_t>(pid)), kAnswer).ok()) {
      return 0;
    }
  }
}

}  // namespace coppice::evaluators::cpu
