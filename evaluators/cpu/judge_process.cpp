// One thread serves; filling, reference and comparison use all cores for a moment each.

#include "evaluators/cpu/judge_process.h"

#include "core/codec.h"
#include "evaluators/child.h"
#include "evaluators/compare.h"
#include "evaluators/cpu/layout.h"
#include "evaluators/cpu/op_abi.h"
#include "evaluators/cpu/shared_memory.h"
#include "evaluators/session_wire.h"
#include "evaluators/values.h"

#include <fmt/format.h>
#include <sys/prctl.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <list>
#include <thread>

namespace coppice::evaluators::cpu {
namespace {

constexpr std::uint64_t kExpectedCap = 2ULL << 30;  // bytes of expected outputs that are kept

struct Expected {
  std::string key;
  std::vector<std::vector<double>> outputs;
  std::uint64_t bytes = 0;
};

struct Bench {
  const Workload* workload = nullptr;
  std::vector<TensorShape> tensors;
  Layout layout;
  std::vector<std::int64_t> offsets;  // of inputs in an entry; structure: behind the last entry
  std::unique_ptr<Problem> problem;
  Mapping pool, outputs;
  std::uint64_t entries = 0;
  std::vector<std::string> drawn;                 // per entry: key of what it holds
  std::vector<std::vector<std::byte>> structure;  // until a pool is attached
};

class Judge {
 public:
  Json open(const Message& request);
  Json pool(const JsonReader& json, std::vector<Fd>& files);
  Json outputs(const JsonReader& json, std::vector<Fd>& files);
  Json draw(const JsonReader& json);
  Json compare(const JsonReader& json);

 private:
  Result<Bench*> bench(const JsonReader& json);
  Result<void> make_bench(const Workload& workload);
  void point_at(Bench& b, std::uint64_t entry);
  Result<const Expected*> expected(Bench& b, const std::string& key);
  Result<void> fill(Bench& b, std::uint64_t entry, const std::string& name, std::uint64_t seed);
  std::byte* entry_data(Bench& b, std::uint64_t entry) {
    return b.pool.data() + entry * b.layout.entry_bytes;
  }

  DeviceSession session_;
  const Suite* suite_ = nullptr;
  TrustedLibrary library_;
  StructureHook structure_ = nullptr;
  ReferenceHook reference_ = nullptr;
  AdjustHook adjust_ = nullptr;
  std::map<std::string, std::unique_ptr<Bench>, std::less<>> benches_;
  std::list<Expected> expected_;  // most recent first
  std::uint64_t expected_bytes_ = 0;
  int threads_ = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
};

Json Judge::open(const Message& request) {
  const JsonReader json = request.json.reader("judge");
  const auto session_json = json.at("session");
  auto session = session_json.ok() ? device_session(*session_json)
                                   : Result<DeviceSession>(session_json.error());
  if (!session.ok() || request.attachments.size() != 1) {
    return error_json(session.ok() ? json.complain("no reference") : session.error());
  }
  session_ = std::move(*session);
  suite_ = session_.op.suite(session_.suite);
  auto library = TrustedLibrary::load(request.attachments.front());
  if (!library.ok()) {
    return error_json(library.error().within("reference.cpp"));
  }
  library_ = std::move(*library);
  structure_ = reinterpret_cast<StructureHook>(library_.find("coppice_structure"));
  reference_ = reinterpret_cast<ReferenceHook>(library_.find("coppice_reference"));
  adjust_ = reinterpret_cast<AdjustHook>(library_.find("coppice_adjust"));
  if (suite_ == nullptr || reference_ == nullptr) {
    return error_json({ErrorCode::config, "reference.cpp: defines no coppice_reference"});
  }
  Json scalars = Json::object();
  for (const auto* workloads : {&suite_->workloads, &suite_->hidden}) {
    for (const Workload& workload : *workloads) {
      if (auto made = make_bench(workload); !made.ok()) {
        return error_json(made.error().within(workload.name));
      }
      Json values = Json::object();
      for (const auto& [name, value] : benches_.at(workload.name)->problem->scalars()) {
        values.set(name, Json(value));
      }
      scalars.set(workload.name, std::move(values));
    }
  }
  return Json::object().set("value", std::move(scalars));
}

Result<void> Judge::make_bench(const Workload& workload) {
  auto b = std::make_unique<Bench>();
  b->workload = &workload;
  COPPICE_TRY(b->tensors, tensor_shapes(session_.op, *suite_, workload));
  b->layout = make_layout(b->tensors, 0);
  b->offsets = packed(b->layout);
  b->problem = std::make_unique<Problem>(session_.op, workload, b->tensors);
  bool any = !session_.op.scalars.empty();
  for (std::size_t i = 0; i < b->tensors.size(); ++i) {
    if (b->tensors[i].role == TensorRole::structure) {
      b->structure.emplace_back(std::max<std::uint64_t>(b->tensors[i].bytes, 8));
      b->problem->set_data(i, b->structure.back().data());
      any = true;
    }
  }
  if (any && structure_ == nullptr) {
    return Error{ErrorCode::config,
                 "the contract has structure tensors or scalars, but reference.cpp defines no "
                 "coppice_structure"};
  }
  if (any && structure_(b->problem->abi(), workload.structure_seed) != 0) {
    return Error{ErrorCode::config, fmt::format("coppice_structure: {}", b->problem->message())};
  }
  benches_.insert_or_assign(workload.name, std::move(b));
  return {};
}

Result<Bench*> Judge::bench(const JsonReader& json) {
  COPPICE_TRY(const std::string name, json.text_or("workload", ""));
  const auto found = benches_.find(name);
  if (found == benches_.end()) {
    return json.complain(fmt::format("unknown workload '{}'", name));
  }
  return found->second.get();
}

Json Judge::pool(const JsonReader& json, std::vector<Fd>& files) {
  auto b = bench(json);
  const auto entries = json.integer_or("entries", 0);
  if (!b.ok() || !entries.ok() || *entries < 1 || files.size() != 1) {
    return error_json(b.ok() ? json.complain("needs entries and memory") : b.error());
  }
  Bench& bench = **b;
  std::uint64_t structure_bytes = 0;
  for (const auto& data : bench.structure) {
    structure_bytes += whole_pages(data.size());
  }
  bench.entries = static_cast<std::uint64_t>(*entries);
  const std::uint64_t bytes = bench.entries * bench.layout.entry_bytes + structure_bytes;
  auto mapping = Mapping::of(files[0].get(), std::max<std::uint64_t>(bytes, 1), true);
  if (!mapping.ok()) {
    return error_json(mapping.error());
  }
  bench.pool = std::move(*mapping);
  bench.drawn.assign(bench.entries, "");
  std::uint64_t at = bench.entries * bench.layout.entry_bytes;
  for (const auto& data : bench.structure) {
    std::memcpy(bench.pool.data() + at, data.data(), data.size());
    at += whole_pages(data.size());
  }
  return Json::object().set("value", true);
}

Json Judge::outputs(const JsonReader& json, std::vector<Fd>& files) {
  auto b = bench(json);
  const auto bytes = json.integer_or("bytes", 0);
  if (!b.ok() || !bytes.ok() || *bytes < 1 || files.size() != 1) {
    return error_json(b.ok() ? json.complain("needs bytes and memory") : b.error());
  }
  auto mapping = Mapping::of(files[0].get(), static_cast<std::uint64_t>(*bytes), false);
  if (!mapping.ok()) {
    return error_json(mapping.error());
  }
  (*b)->outputs = std::move(*mapping);
  return Json::object().set("value", true);
}

void Judge::point_at(Bench& b, std::uint64_t entry) {
  std::size_t input = 0;
  for (std::size_t i = 0; i < b.tensors.size(); ++i) {
    if (b.tensors[i].role == TensorRole::output) {
      continue;
    }
    if (b.offsets[input] >= 0) {
      b.problem->set_data(i, entry_data(b, entry) + b.offsets[input]);
    }
    ++input;
  }
}

Result<void> Judge::fill(Bench& b,
                         std::uint64_t entry,
                         const std::string& name,
                         std::uint64_t seed) {
  const ValueCase* value_case = nullptr;
  for (const ValueCase& c : session_.op.cases) {
    value_case = c.name == name ? &c : value_case;
  }
  std::size_t input = 0;
  for (const TensorShape& tensor : b.tensors) {
    if (tensor.role == TensorRole::output) {
      continue;
    }
    if (tensor.role == TensorRole::value) {
      Fill how;
      for (const TensorSpec& spec : session_.op.tensors) {
        how = spec.name == tensor.name ? spec.fill : how;
      }
      if (value_case != nullptr) {
        const auto other = value_case->fills.find(tensor.name);
        how = other == value_case->fills.end() ? how : other->second;
      }
      fill_tensor(
          how,
          seed,
          {tensor.name, tensor.dtype, tensor.elements, entry_data(b, entry) + b.offsets[input]},
          threads_);
    }
    ++input;
  }
  point_at(b, entry);
  if (value_case != nullptr && value_case->adjust) {
    if (adjust_ == nullptr) {
      return Error{ErrorCode::config, "reference.cpp defines no coppice_adjust"};
    }
    if (adjust_(b.problem->abi(), name.c_str(), seed) != 0) {
      return Error{ErrorCode::config,
                   fmt::format("coppice_adjust({}): {}", name, b.problem->message())};
    }
  }
  return {};
}

// Computes, or recalls, what the values behind `problem` should give.
Result<const Expected*> Judge::expected(Bench& b, const std::string& key) {
  for (auto item = expected_.begin(); item != expected_.end(); ++item) {
    if (item->key == key) {
      expected_.splice(expected_.begin(), expected_, item);
      return &expected_.front();
    }
  }
  Expected fresh;
  fresh.key = key;
  std::vector<double*> pointers;
  for (const TensorShape& tensor : b.tensors) {
    if (tensor.role == TensorRole::output) {
      fresh.outputs.emplace_back(std::max<std::uint64_t>(tensor.elements, 1), 0.0);
      fresh.bytes += tensor.elements * sizeof(double);
    }
  }
  for (std::vector<double>& output : fresh.outputs) {
    pointers.push_back(output.data());
  }
  std::vector<int> status(static_cast<std::size_t>(threads_), 0);
  {
    std::vector<std::jthread> workers;
    for (int part = 0; part < threads_; ++part) {
      workers.emplace_back([&, part] {
        status[static_cast<std::size_t>(part)] =
            reference_(b.problem->abi(), pointers.data(), part, threads_);
      });
    }
  }
  if (std::any_of(status.begin(), status.end(), [](int s) { return s != 0; })) {
    return Error{ErrorCode::config, fmt::format("coppice_reference: {}", b.problem->message())};
  }
  expected_bytes_ += fresh.bytes;
  expected_.push_front(std::move(fresh));
  while (expected_bytes_ > kExpectedCap && expected_.size() > 1) {
    expected_bytes_ -= expected_.back().bytes;
    expected_.pop_back();
  }
  return &expected_.front();
}

Json Judge::draw(const JsonReader& json) {
  auto b = bench(json);
  if (!b.ok()) {
    return error_json(b.error());
  }
  std::uint64_t entry = 0;
  std::uint64_t seed = 0;
  std::string name;
  Fields fields(json, {"call", "workload", "entry", "case", "seed"});
  const auto read = fields.need("entry", entry).need("case", name).need("seed", seed).done(true);
  if (!read.ok() || entry >= (*b)->entries) {
    return error_json(read.ok() ? json.complain("no such entry") : read.error());
  }
  const std::string key = fmt::format("{}/{}/{}", (*b)->workload->name, name, seed);
  double fill_seconds = 0.0;
  if ((*b)->drawn[entry] != key) {
    const Nanoseconds start = steady_now();
    if (auto filled = fill(**b, entry, name, seed); !filled.ok()) {
      return error_json(filled.error());
    }
    (*b)->drawn[entry] = key;
    fill_seconds = to_seconds(steady_now() - start);
  }
  const Nanoseconds start = steady_now();
  point_at(**b, entry);
  const auto known = expected(**b, key);
  if (!known.ok()) {
    return error_json(known.error());
  }
  return Json::object().set(
      "value",
      Json::object().set("fill", fill_seconds).set("reference", to_seconds(steady_now() - start)));
}

Json Judge::compare(const JsonReader& json) {
  auto b = bench(json);
  if (!b.ok()) {
    return error_json(b.error());
  }
  std::uint64_t entry = 0;
  std::uint64_t origin = 0;
  std::uint64_t poison = 0;
  std::string precision_name;
  std::vector<std::uint64_t> places;
  Fields fields(json, {"call", "workload", "entry", "origin", "places", "precision", "poison"});
  fields.need("entry", entry).need("origin", origin).need("places", places);
  const auto read = fields.need("precision", precision_name).need("poison", poison).done(true);
  const PrecisionClass* precision = session_.op.precision_class(precision_name);
  if (!read.ok() || precision == nullptr || entry >= (*b)->entries || (*b)->drawn[entry].empty() ||
      places.size() != (*b)->layout.outputs.size()) {
    return error_json(read.ok() ? json.complain("unknown precision, entry or outputs")
                                : read.error());
  }
  point_at(**b, entry);
  const auto known = expected(**b, (*b)->drawn[entry]);
  if (!known.ok()) {
    return error_json(known.error());
  }
  Json results = Json::array();
  for (std::size_t i = 0; i < places.size(); ++i) {
    const TensorShape& tensor = (*b)->layout.outputs[i].tensor;
    const std::uint64_t at = origin + places[i];
    if (at > (*b)->outputs.size() || tensor.bytes > (*b)->outputs.size() - at) {
      return error_json(json.complain("output outside the ring"));
    }
    // The pattern repeats every four bytes from the tensor's first one.
    const std::uint64_t twice = poison | (poison << 32);
    const Comparison c = compare_output({tensor.name,
                                         tensor.dtype,
                                         tensor.shape,
                                         (*b)->outputs.data() + at,
                                         (*known)->outputs[i].data(),
                                         poison == 0 ? nullptr : &twice},
                                        tolerance_of(*precision, tensor.name),
                                        threads_);
    results.push(to_json(c).set("name", tensor.name));
  }
  return Json::object().set("value", std::move(results));
}

}  // namespace

int run_judge(int socket) {
  ::prctl(PR_SET_NAME, "coppice-judge");
  std::signal(SIGPIPE, SIG_IGN);
  Channel channel{Fd(socket)};
  Judge judge;
  while (true) {
    Result<Message> request = channel.receive(std::chrono::hours(24 * 365));
    if (!request.ok()) {
      return 0;
    }
    const JsonReader json = request->json.reader("judge");
    const std::string call = json.text_or("call", "").ok() ? *json.text_or("call", "") : "";
    Json reply;
    if (call == "open") {
      reply = judge.open(*request);
    } else if (call == "pool") {
      reply = judge.pool(json, request->descriptors);
    } else if (call == "outputs") {
      reply = judge.outputs(json, request->descriptors);
    } else if (call == "draw") {
      reply = judge.draw(json);
    } else if (call == "compare") {
      reply = judge.compare(json);
    } else {
      reply = error_json(json.complain("unknown call"));
    }
    if (!channel.send(std::move(reply), std::chrono::seconds(60)).ok()) {
      return 0;
    }
  }
}

}  // namespace coppice::evaluators::cpu
