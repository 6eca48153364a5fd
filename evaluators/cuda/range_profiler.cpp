// Sessions of CUPTI's range profiler: one named range, as many passes as the counters need.
#include "evaluators/cuda/range_profiler.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace coppice::evaluators::cuda {
namespace {

constexpr int kMostPasses = 64;
constexpr std::size_t kMostStalls = 6;
constexpr const char* kWarps = "smsp__warps_active.sum";
// "selected" is no stall: those warps issue. Names as in the vendor's profiler.
constexpr std::string_view kStallNames[] = {"barrier",
                                            "branch_resolving",
                                            "dispatch_stall",
                                            "drain",
                                            "gmma",
                                            "imc_miss",
                                            "lg_throttle",
                                            "long_scoreboard",
                                            "math_pipe_throttle",
                                            "membar",
                                            "mio_throttle",
                                            "misc",
                                            "no_instruction",
                                            "not_selected",
                                            "short_scoreboard",
                                            "sleeping",
                                            "tex_throttle",
                                            "wait"};
constexpr const char* kTensor = "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active";
// The first that the device has: names moved with consumer Blackwell.
constexpr const char* kRead[] = {"dram__bytes_read.sum", "dram__bytes_op_read.sum"};
constexpr const char* kWritten[] = {"dram__bytes_write.sum", "dram__bytes_op_write.sum"};

std::string stall_metric(std::string_view name) {
  return "smsp__warps_issue_stalled_" + std::string(name) + ".sum";
}

std::optional<double> value_of(const std::map<std::string, double, std::less<>>& values,
                               std::string_view name,
                               double scale) {
  const auto found = values.find(name);
  return found == values.end() || !std::isfinite(found->second)
             ? std::nullopt
             : std::optional(found->second * scale);
}

std::optional<double> first_of(const std::map<std::string, double, std::less<>>& values,
                               const char* const (&names)[2]) {
  const std::optional<double> first = value_of(values, names[0], 1.0);
  return first ? first : value_of(values, names[1], 1.0);
}

std::vector<StallReason> stalls_of(const std::map<std::string, double, std::less<>>& values) {
  std::vector<StallReason> out;
  const double warps = value_of(values, kWarps, 1.0).value_or(0.0);
  for (const std::string_view name : kStallNames) {
    const double cycles = value_of(values, stall_metric(name), 1.0).value_or(0.0);
    if (warps > 0 && cycles > 0.005 * warps) {
      out.push_back({std::string(name), cycles / warps});
    }
  }
  std::ranges::stable_sort(out, std::greater(), &StallReason::share);
  out.resize(std::min(out.size(), kMostStalls));
  return out;
}

}  // namespace

std::vector<std::string> counter_metrics() {
  std::vector<std::string> out = {"lts__t_sector_hit_rate.pct",
                                  "smsp__issue_active.avg.pct_of_peak_sustained_active",
                                  "sm__warps_active.avg.pct_of_peak_sustained_active",
                                  kWarps};
  out.push_back(kTensor);
  out.insert(out.end(), std::begin(kRead), std::end(kRead));
  out.insert(out.end(), std::begin(kWritten), std::end(kWritten));
  for (const std::string_view name : kStallNames) {
    out.push_back(stall_metric(name));
  }
  return out;
}

WorkloadCounters counters_of(const std::map<std::string, double, std::less<>>& values) {
  constexpr double kPercent = 0.01;
  WorkloadCounters out;
  out.dram_read_bytes = first_of(values, kRead);
  out.dram_write_bytes = first_of(values, kWritten);
  out.l2_hit_share = value_of(values, "lts__t_sector_hit_rate.pct", kPercent);
  out.issue_active_share =
      value_of(values, "smsp__issue_active.avg.pct_of_peak_sustained_active", kPercent);
  out.occupancy_share =
      value_of(values, "sm__warps_active.avg.pct_of_peak_sustained_active", kPercent);
  out.tensor_active_share = value_of(values, kTensor, kPercent);
  out.stalls = stalls_of(values);
  return out;
}

Result<std::unique_ptr<RangeProfiler>> RangeProfiler::open(
    std::shared_ptr<const CuptiApi> api,
    Context context,
    int device,
    const std::vector<std::string>& metrics) {
  std::unique_ptr<RangeProfiler> out(new RangeProfiler(std::move(api)));
  COPPICE_TRY_VOID(out->look_at_chip(context, device));
  COPPICE_TRY_VOID(out->choose(metrics));
  COPPICE_TRY_VOID(out->plan_passes());
  CuptiEnable enable;
  enable.context = context;
  COPPICE_TRY_VOID(out->api_->check(out->api_->enable(&enable), "enable the profiler"));
  out->profiler_ = enable.profiler;
  return out;
}

Result<void> RangeProfiler::look_at_chip(Context context, int device) {
  CuptiPlain plain;
  COPPICE_TRY_VOID(api_->check(api_->initialize(&plain), "start the profiler"));
  CuptiChipName chip;
  chip.device = static_cast<std::size_t>(device);
  COPPICE_TRY_VOID(api_->check(api_->chip_name(&chip), "name of the chip"));
  chip_ = chip.name;
  CuptiAvailability available;
  available.context = context;
  COPPICE_TRY_VOID(api_->check(api_->availability(&available), "which counters there are"));
  availability_.resize(available.bytes);
  available.image = availability_.data();
  return api_->check(api_->availability(&available), "which counters there are");
}

Result<void> RangeProfiler::open_host() {
  CuptiHostOpen host;
  host.chip = chip_.c_str();
  host.availability = availability_.data();
  COPPICE_TRY_VOID(api_->check(api_->host_open(&host), "counters of " + chip_));
  host_ = host.host;
  return {};
}

void RangeProfiler::close_host() {
  if (host_ != nullptr) {
    CuptiHost record;
    record.host = host_;
    api_->host_close(&record);
    host_ = nullptr;
  }
}

// A name that this chip does not have spoils CUPTI's object for all later ones: each refusal gets a
// new object, and the last one is given only names that were taken.
Result<void> RangeProfiler::choose(const std::vector<std::string>& metrics) {
  int refused = 0;
  for (const std::string& name : metrics) {
    if (host_ == nullptr) {
      COPPICE_TRY_VOID(open_host());
    }
    const char* text = name.c_str();
    CuptiHostAdd add;
    add.host = host_;
    add.metrics = &text;
    add.count = 1;
    if (const int status = api_->host_add(&add); status == 0) {
      metrics_.push_back(name);
    } else {
      refused = status;
      missing_.push_back(name);
      close_host();
    }
  }
  if (metrics_.empty()) {
    return api_->check(refused, "choose counters");
  }
  for (const std::string& name : metrics_) {
    names_.push_back(name.c_str());
  }
  close_host();
  return open_host();
}

Result<void> RangeProfiler::plan_passes() {
  CuptiHostAdd add;
  add.host = host_;
  add.metrics = names_.data();
  add.count = names_.size();
  COPPICE_TRY_VOID(api_->check(api_->host_add(&add), "choose counters"));
  CuptiConfigSize size;
  size.host = host_;
  COPPICE_TRY_VOID(api_->check(api_->config_size(&size), "plan the passes"));
  config_.resize(size.bytes);
  CuptiConfig config;
  config.host = host_;
  config.bytes = config_.size();
  config.image = config_.data();
  return api_->check(api_->config(&config), "plan the passes");
}

RangeProfiler::~RangeProfiler() {
  if (profiler_ != nullptr) {
    CuptiProfiler record;
    record.profiler = profiler_;
    api_->disable(&record);
  }
  close_host();
}

Result<void> RangeProfiler::one_pass(const Work& work, bool& last) {
  COPPICE_TRY_VOID(work.before());
  CuptiProfiler plain;
  plain.profiler = profiler_;
  CuptiPush push;
  push.profiler = profiler_;
  push.name = "plan";
  CuptiStop stop;
  stop.profiler = profiler_;
  COPPICE_TRY_VOID(api_->check(api_->start(&plain), "start a pass"));
  COPPICE_TRY_VOID(api_->check(api_->push(&push), "begin a range"));
  const Result<void> launched = work.launch();
  const int popped = api_->pop(&plain);  // also after a failed launch: nothing stays open
  const int stopped = api_->stop(&stop);
  COPPICE_TRY_VOID(launched);
  COPPICE_TRY_VOID(api_->check(popped, "end a range"));
  COPPICE_TRY_VOID(api_->check(stopped, "end a pass"));
  last = stop.all_passes != 0;
  return {};
}

Result<RangeProfiler::Reading> RangeProfiler::read(const Work& work) {
  CuptiDataSize size;
  size.profiler = profiler_;
  size.metrics = names_.data();
  size.count = names_.size();
  COPPICE_TRY_VOID(api_->check(api_->data_size(&size), "room for the counters"));
  std::vector<std::uint8_t> image(size.bytes);
  CuptiDataOpen data;
  data.profiler = profiler_;
  data.bytes = image.size();
  data.image = image.data();
  COPPICE_TRY_VOID(api_->check(api_->data_open(&data), "room for the counters"));
  CuptiSetConfig config;
  config.profiler = profiler_;
  config.config_bytes = config_.size();
  config.config = config_.data();
  config.image_bytes = image.size();
  config.image = image.data();
  COPPICE_TRY_VOID(api_->check(api_->set_config(&config), "set the counters up"));
  Reading out;
  for (bool last = false; !last; ++out.passes) {
    if (out.passes == kMostPasses) {
      return Error{ErrorCode::environment, "counters: not all read after 64 passes"};
    }
    COPPICE_TRY_VOID(one_pass(work, last));
  }
  CuptiDecode decode;
  decode.profiler = profiler_;
  COPPICE_TRY_VOID(api_->check(api_->decode(&decode), "decode the counters"));
  std::vector<double> values(names_.size(), std::nan(""));
  CuptiEvaluate evaluate;
  evaluate.host = host_;
  evaluate.image = image.data();
  evaluate.bytes = image.size();
  evaluate.metrics = names_.data();
  evaluate.count = names_.size();
  evaluate.values = values.data();
  COPPICE_TRY_VOID(api_->check(api_->evaluate(&evaluate), "evaluate the counters"));
  for (std::size_t i = 0; i < values.size(); ++i) {
    out.values[metrics_[i]] = values[i];
  }
  return out;
}

}  // namespace coppice::evaluators::cuda
