// Reads and writes run configurations; the grammar is in docs/config.md.
#include "cli/run_config.h"

#include "cli/llm_setup.h"
#include "cli/text_file.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace coppice::cli {
namespace {

constexpr std::array<std::string_view, 2> kBackends = {"cpu", "cuda"};
constexpr std::array<std::string_view, 5> kIsolation = {
    "best", "none", "process", "namespaces", "full"};

template <std::size_t N>
Result<std::string> one_of(const JsonReader& json, const std::array<std::string_view, N>& allowed) {
  COPPICE_TRY(std::string text, json.text());
  if (std::find(allowed.begin(), allowed.end(), text) == allowed.end()) {
    std::string expected = "one of";
    for (std::string_view name : allowed) {
      expected += (name == allowed.front() ? " " : ", ") + std::string(name);
    }
    return json.error(expected);
  }
  return text;
}

Result<search::Strategy> read_strategy(const JsonReader& json) {
  COPPICE_TRY(const std::string text, json.text());
  const Result<search::Strategy> strategy = strategy_named(text);
  if (!strategy.ok()) {
    return json.error("one of coppice, random, hillclimb, best-of-n, default");
  }
  return *strategy;
}

Result<void> read_int(const JsonReader& json, std::string_view key, int low, int high, int& into) {
  if (const auto member = json.find(key)) {
    COPPICE_TRY(const std::int64_t number, member->integer_in(low, high));
    into = static_cast<int>(number);
  }
  return {};
}

Result<void> read_bool(const JsonReader& json, std::string_view key, bool& into) {
  COPPICE_TRY(into, json.boolean_or(key, into));
  return {};
}

Result<double> read_amount(const JsonReader& json) {
  COPPICE_TRY(const double amount, json.real());
  if (!std::isfinite(amount) || amount < 0.0 || amount > 1e9) {
    return json.error("a number from 0 to 1e9");
  }
  return amount;
}

Result<search::Budget> read_budget(const JsonReader& json) {
  COPPICE_TRY_VOID(json.only_keys({"attempts", "seconds", "money"}));
  search::Budget budget;
  if (const auto member = json.find("attempts")) {
    COPPICE_TRY(budget.attempts, member->integer_in(0, 1'000'000'000));
  }
  if (const auto member = json.find("seconds")) {
    COPPICE_TRY(const double seconds, read_amount(*member));
    budget.seconds = Nanoseconds(std::llround(seconds * 1e9));
  }
  if (const auto member = json.find("money")) {
    COPPICE_TRY(budget.money, read_amount(*member));
    if (budget.money != 0.0) {
      return member->error(
          "0 (this version searches without a language model, so nothing is paid)");
    }
  }
  if (budget.attempts == 0 && budget.seconds.count() == 0) {
    return json.complain("a budget needs attempts or seconds; both are 0");
  }
  return budget;
}

Result<void> read_switches(const JsonReader& json, search::SearchOptions& options) {
  COPPICE_TRY_VOID(
      json.only_keys({"world_model", "frontier", "evolution", "memory", "tree", "warm"}));
  COPPICE_TRY_VOID(read_bool(json, "world_model", options.world_model));
  COPPICE_TRY_VOID(read_bool(json, "frontier", options.frontier));
  COPPICE_TRY_VOID(read_bool(json, "evolution", options.evolution));
  COPPICE_TRY_VOID(read_bool(json, "memory", options.memory));
  COPPICE_TRY_VOID(read_bool(json, "warm", options.warm));
  return read_bool(json, "tree", options.tree);
}

Result<void> read_search(const JsonReader& json, search::SearchOptions& options) {
  if (const auto member = json.find("strategy")) {
    COPPICE_TRY(options.strategy, read_strategy(*member));
  }
  COPPICE_TRY(const JsonReader budget, json.at("budget"));
  COPPICE_TRY(options.budget, read_budget(budget));
  COPPICE_TRY_VOID(read_int(json, "lanes", 1, 1024, options.lanes));
  COPPICE_TRY_VOID(read_int(json, "stagnation", 1, 1'000'000, options.stagnation));
  COPPICE_TRY_VOID(read_int(json, "finalists", 0, 64, options.finalists));
  COPPICE_TRY_VOID(read_bool(json, "promote", options.promote));
  if (const auto member = json.find("switches")) {
    COPPICE_TRY_VOID(read_switches(*member, options));
  }
  return {};
}

Result<std::vector<std::string>> read_compare(const JsonReader& json) {
  COPPICE_TRY(const auto items, json.items());
  std::vector<std::string> names;
  for (const JsonReader& item : items) {
    COPPICE_TRY(const search::Strategy strategy, read_strategy(item));
    std::string name(search::to_text(strategy));
    if (std::find(names.begin(), names.end(), name) != names.end()) {
      return item.error("each strategy once");
    }
    names.push_back(std::move(name));
  }
  return names;
}

Result<void> read_where(const JsonReader& json, RunConfig& config) {
  if (const auto member = json.find("backend")) {
    COPPICE_TRY(config.backend, one_of(*member, kBackends));
  }
  COPPICE_TRY(config.target, json.text_or("target", config.target));
  if (const auto devices = json.find("devices"); devices && devices->is_string()) {
    COPPICE_TRY(const std::string all, devices->text());
    if (all != "all") {
      return devices->error("a number of devices, or \"all\"");
    }
    config.devices = kAllDevices;
  } else {
    COPPICE_TRY_VOID(read_int(json, "devices", 1, 64, config.devices));
  }
  COPPICE_TRY_VOID(read_int(json, "lane_threads", 0, 4096, config.lane_threads));
  COPPICE_TRY_VOID(read_int(json, "compile_jobs", 0, 1024, config.compile_jobs));
  if (const auto member = json.find("isolation")) {
    COPPICE_TRY(config.isolation, one_of(*member, kIsolation));
  }
  if (const auto member = json.find("launcher")) {
    COPPICE_TRY(config.launcher, member->texts());
  }
  return {};
}

Result<void> read_lists(const JsonReader& json, RunConfig& config) {
  if (const auto member = json.find("templates")) {
    COPPICE_TRY(config.templates, member->texts());
  }
  if (const auto member = json.find("compare")) {
    COPPICE_TRY(config.compare, read_compare(*member));
  }
  if (const auto member = json.find("seed_kernels")) {
    COPPICE_TRY(config.seed_kernels, member->texts());
  }
  if (const auto member = json.find("warm_start")) {
    if (!member->is_bool() && !member->is_array()) {
      return member->error("false, or a list of logs");
    }
    if (member->is_array()) {
      COPPICE_TRY(config.warm_start, member->texts());
    } else {
      COPPICE_TRY(const bool on, member->boolean());
      if (on) {
        return member->error("false, or a list of logs ([\"archive\"]: the archive's own runs)");
      }
    }
  }
  return {};
}

Result<void> read_llm(const JsonReader& json, RunConfig& config) {
  const auto llm = json.find("llm");
  if (!llm) {
    return {};
  }
  if (llm->is_object()) {
    const Result<LlmSetup> setup = llm_setup(*llm);
    if (!setup.ok()) {
      return setup.error();
    }
  } else if (!llm->is_string()) {
    return llm->error("\"off\", the name of a profile in configs/llm, or a profile");
  }
  config.llm = llm->copy();
  return {};
}

// An op with its suite, a table, or tasks that name their own.
Result<void> read_what_to_search(const JsonReader& json, RunConfig& config) {
  if (const auto tasks = json.find("tasks")) {
    COPPICE_TRY(config.tasks, task_configs(*tasks));
    for (const char* key : {"op", "suite", "workloads", "table", "templates", "seed_kernels"}) {
      if (const auto member = json.find(key)) {
        return member->error("nothing beside tasks (each task says what it searches)");
      }
    }
    return {};
  }
  if (const auto table = json.find("table")) {
    COPPICE_TRY(config.table, table->text());
    for (const char* key : {"op", "suite", "workloads"}) {
      if (const auto member = json.find(key)) {
        return member->error("nothing beside a table");
      }
    }
    config.suite = "recorded";
    return {};
  }
  COPPICE_TRY(const JsonReader op, json.at("op"));
  COPPICE_TRY(config.op, op.text());
  if (const auto workloads = json.find("workloads")) {
    COPPICE_TRY(config.workloads, workloads->texts());
    COPPICE_TRY(config.suite, json.text_or("suite", ""));
    return {};
  }
  COPPICE_TRY(const JsonReader suite, json.at("suite"));
  COPPICE_TRY(config.suite, suite.text());
  return {};
}

// Parts that know one task only.
Result<void> refuse_beside_tasks(const JsonReader& json, const RunConfig& config) {
  if (config.tasks.empty()) {
    return {};
  }
  if (!config.compare.empty()) {
    return json.at("compare")->error("no strategies beside tasks (compare one task at a time)");
  }
  if (!(config.llm == Json("off"))) {
    return json.at("llm")->error("\"off\" beside tasks (this version asks models in single runs)");
  }
  return {};
}

Json write_search(const search::SearchOptions& options, Json out) {
  Json budget = Json::object();
  budget.set("attempts", options.budget.attempts);
  budget.set("seconds", to_seconds(options.budget.seconds));
  budget.set("money", options.budget.money);
  Json switches = Json::object();
  switches.set("world_model", options.world_model).set("frontier", options.frontier);
  switches.set("evolution", options.evolution).set("memory", options.memory);
  switches.set("tree", options.tree).set("warm", options.warm);
  out.set("strategy", search::to_text(options.strategy));
  out.set("budget", std::move(budget));
  out.set("lanes", options.lanes).set("stagnation", options.stagnation);
  out.set("finalists", options.finalists).set("promote", options.promote);
  out.set("switches", std::move(switches));
  return out;
}

}  // namespace

Result<search::Strategy> strategy_named(std::string_view text) {
  std::string name(text);
  std::replace(name.begin(), name.end(), '-', '_');
  return search::strategy(name);
}

Result<RunConfig> run_config(const JsonReader& json) {
  COPPICE_TRY_VOID(json.only_keys(
      {"schema",    "op",       "suite",   "backend",    "target",       "templates",
       "seed",      "strategy", "budget",  "lanes",      "stagnation",   "finalists",
       "promote",   "switches", "compare", "devices",    "lane_threads", "compile_jobs",
       "isolation", "launcher", "llm",     "warm_start", "seed_kernels", "note",
       "workloads", "table",    "tasks"}));
  COPPICE_TRY(const JsonReader schema, json.at("schema"));
  COPPICE_TRY_VOID(schema.integer_in(RunConfig::kSchema, RunConfig::kSchema));
  RunConfig config;
  COPPICE_TRY_VOID(read_what_to_search(json, config));
  if (const auto seed = json.find("seed")) {
    COPPICE_TRY(config.seed, seed->unsigned_integer());
  }
  COPPICE_TRY_VOID(read_search(json, config.search));
  COPPICE_TRY_VOID(read_where(json, config));
  COPPICE_TRY_VOID(read_lists(json, config));
  COPPICE_TRY_VOID(read_llm(json, config));
  COPPICE_TRY_VOID(refuse_beside_tasks(json, config));
  if (!config.warm_start.empty() && config.search.strategy != search::Strategy::coppice) {
    return json.complain("warm_start: only strategy coppice can start from logs");
  }
  return config;
}

RunConfig config_of_task(const RunConfig& config, std::size_t task) {
  const TaskConfig& what = config.tasks[task];
  RunConfig out = config;
  out.tasks.clear();
  out.op = what.op;
  out.suite = what.table.empty() ? what.suite : "recorded";
  out.workloads = what.workloads;
  out.table = what.table;
  out.templates = what.templates;
  out.seed = config.seed + task;  // tasks with equal spaces draw their own numbers
  return out;
}

Result<RunConfig> load_run_config(const std::string& path) {
  COPPICE_TRY(const std::string text, read_text_file(path));
  COPPICE_TRY(const Json json, Json::parse(text, path));
  return run_config(json.reader(path));
}

Json to_json(const RunConfig& config) {
  const auto same = [](const std::string& text) {
    return Json(text);
  };
  Json out = Json::object();
  out.set("schema", RunConfig::kSchema);
  if (!config.tasks.empty()) {
    out.set("tasks",
            Json::array_of(config.tasks, [](const TaskConfig& task) { return to_json(task); }));
  } else if (!config.table.empty()) {
    out.set("table", config.table);
  } else {
    out.set("op", config.op).set("suite", config.suite);
    if (!config.workloads.empty()) {
      out.set("workloads", Json::array_of(config.workloads, same));
    }
  }
  out.set("backend", config.backend).set("target", config.target);
  if (config.tasks.empty()) {
    out.set("templates", Json::array_of(config.templates, same));
  }
  out.set("seed", config.seed);
  out = write_search(config.search, std::move(out));
  out.set("compare", Json::array_of(config.compare, same));
  out.set("devices", config.devices == kAllDevices ? Json("all") : Json(config.devices));
  out.set("lane_threads", config.lane_threads);
  out.set("compile_jobs", config.compile_jobs).set("isolation", config.isolation);
  out.set("launcher", Json::array_of(config.launcher, same));
  out.set("llm", config.llm).set("warm_start", Json::array_of(config.warm_start, same));
  if (config.tasks.empty()) {
    out.set("seed_kernels", Json::array_of(config.seed_kernels, same));
  }
  return out;
}

}  // namespace coppice::cli
