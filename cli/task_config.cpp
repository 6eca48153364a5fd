// Reads and writes the tasks of a run configuration; the grammar is in docs/config.md.
#include "cli/task_config.h"

#include "archive/run_store.h"

#include <algorithm>
#include <cmath>

namespace coppice::cli {
namespace {

constexpr std::size_t kMostTasks = 1000;

// The last part of a path or name, without what follows its first dot.
std::string stem_of(const std::string& path) {
  const std::string trimmed = path.substr(0, path.find_last_not_of('/') + 1);
  const std::size_t slash = trimmed.find_last_of('/');
  const bool file = trimmed.rfind("synthetic:", 0) != 0 && trimmed.rfind("derived:", 0) != 0;
  const std::string last = file && slash != std::string::npos ? trimmed.substr(slash + 1) : trimmed;
  return file ? last.substr(0, last.find('.')) : last;
}

std::string name_of_task(const TaskConfig& task) {
  std::string text = stem_of(task.table.empty() ? task.op : task.table);
  text += task.suite.empty() ? "" : "." + task.suite;
  if (task.workloads.size() == 1) {
    text += "." + task.workloads.front();
  }
  return archive::run_name_base(text);
}

Result<void> read_what(const JsonReader& json, TaskConfig& task) {
  const bool table = json.find("table").has_value();
  if (table == json.find("op").has_value()) {
    return json.complain("a task needs an op or a table, and not both");
  }
  if (table) {
    for (const char* key : {"suite", "workloads", "templates"}) {
      if (const auto member = json.find(key)) {
        return member->error("nothing (a table has no such part)");
      }
    }
    COPPICE_TRY(const JsonReader member, json.at("table"));
    COPPICE_TRY(task.table, member.text());
    return {};
  }
  COPPICE_TRY(const JsonReader op, json.at("op"));
  COPPICE_TRY(task.op, op.text());
  COPPICE_TRY(task.suite, json.text_or("suite", ""));
  if (const auto member = json.find("workloads")) {
    COPPICE_TRY(task.workloads, member->texts());
  }
  if (const auto member = json.find("templates")) {
    COPPICE_TRY(task.templates, member->texts());
  }
  if (task.suite.empty() && task.workloads.empty()) {
    return json.complain("a task with an op needs a suite or workloads");
  }
  return {};
}

Result<TaskConfig> read_task(const JsonReader& json) {
  COPPICE_TRY_VOID(
      json.only_keys({"name", "op", "suite", "workloads", "table", "templates", "weight", "note"}));
  TaskConfig task;
  COPPICE_TRY_VOID(read_what(json, task));
  if (const auto member = json.find("weight")) {
    COPPICE_TRY(task.weight, member->real());
    if (!(task.weight > 0.0 && task.weight <= 1e6)) {
      return member->error("a number above 0, at most 1e6");
    }
  }
  COPPICE_TRY(task.name, json.text_or("name", ""));
  if (!task.name.empty() && !archive::is_run_name(task.name)) {
    return json.at("name")->error("lower-case letters, digits, \"_\", \"-\" and \".\"");
  }
  return task;
}

}  // namespace

Result<std::vector<TaskConfig>> task_configs(const JsonReader& json) {
  COPPICE_TRY(const auto items, json.items());
  if (items.empty() || items.size() > kMostTasks) {
    return json.error("1 to 1000 tasks");
  }
  std::vector<TaskConfig> out;
  const auto taken = [&](const std::string& name) {
    return std::ranges::any_of(out, [&](const TaskConfig& task) { return task.name == name; });
  };
  for (const JsonReader& item : items) {
    COPPICE_TRY(TaskConfig task, read_task(item));
    if (!task.name.empty() && taken(task.name)) {
      return item.error("each name once");
    }
    if (task.name.empty()) {
      const std::string base = name_of_task(task);
      task.name = base;
      for (int n = 2; taken(task.name); ++n) {
        task.name = base + "-" + std::to_string(n);
      }
    }
    out.push_back(std::move(task));
  }
  return out;
}

Json to_json(const TaskConfig& task) {
  const auto same = [](const std::string& text) {
    return Json(text);
  };
  Json out = Json::object();
  out.set("name", task.name).set("weight", task.weight);
  if (!task.table.empty()) {
    return out.set("table", task.table);
  }
  out.set("op", task.op).set("templates", Json::array_of(task.templates, same));
  if (!task.suite.empty()) {
    out.set("suite", task.suite);
  }
  if (!task.workloads.empty()) {
    out.set("workloads", Json::array_of(task.workloads, same));
  }
  return out;
}

}  // namespace coppice::cli
