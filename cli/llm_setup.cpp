// Reads the "llm" of a configuration and opens its providers.
#include "cli/llm_setup.h"

#include "cli/text_file.h"
#include "core/codec.h"
#include "llm/prompt.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

namespace coppice::cli {
namespace {

constexpr double kMostSecondsOfCall = 86400.0;
constexpr std::size_t kMostPortBytes = 262144;

Nanoseconds seconds_of(double seconds) {
  return Nanoseconds(std::llround(seconds * 1e9));
}

Result<void> check_range(const JsonReader& at, std::string_view key, double value, double high) {
  return value >= 0.0 && value <= high ? Result<void>()
                                       : Result<void>(at.complain(fmt::format(
                                             "{}: expected a number from 0 to {}", key, high)));
}

Result<llm::Price> read_price(const JsonReader& json) {
  llm::Price price;
  Fields fields(json, {"in", "out", "cached", "written"});
  fields.need("in", price.in).need("out", price.out);
  price.cached = price.written = price.in;
  fields.maybe("cached", price.cached).maybe("written", price.written);
  COPPICE_TRY(price, fields.done(std::move(price)));
  for (const double value : {price.in, price.out, price.cached, price.written}) {
    COPPICE_TRY_VOID(check_range(json, "price", value, 1e5));
  }
  return price;
}

Result<llm::Budget> read_llm_budget(const JsonReader& json) {
  llm::Budget budget;
  double dollars = 0.0;
  double seconds = 0.0;
  Fields fields(json, {"requests", "tokens", "dollars", "seconds"});
  fields.maybe("requests", budget.requests).maybe("tokens", budget.tokens);
  fields.maybe("dollars", dollars).maybe("seconds", seconds);
  COPPICE_TRY(budget, fields.done(std::move(budget)));
  COPPICE_TRY_VOID(check_range(json, "dollars", dollars, 1e6));
  COPPICE_TRY_VOID(check_range(json, "seconds", seconds, 1e9));
  if (budget.requests < 0 || budget.tokens < 0) {
    return json.complain("a budget can't be negative");
  }
  budget.money = llm::Money::of_dollars(dollars);
  budget.time = seconds_of(seconds);
  if (budget.requests == 0 && budget.tokens == 0 && budget.money.nano == 0 &&
      budget.time.count() == 0) {
    return json.complain("a budget needs requests, tokens, dollars or seconds");
  }
  return budget;
}

// How the provider is reached.
Result<void> read_provider(const JsonReader& json, LlmModel& model) {
  const bool http = model.provider == "openai" || model.provider == "anthropic";
  if (!http && model.provider != "command" && model.provider != "cassette") {
    return json.complain("provider: expected openai, anthropic, command or cassette, found " +
                         model.provider);
  }
  const std::string& structured = model.http.dialect.structured;
  if (structured != "json_schema" && structured != "json_object" && structured != "none") {
    return json.complain("structured: expected json_schema, json_object or none, found " +
                         structured);
  }
  if (http && model.http.base_url.empty()) {
    return json.complain("url is missing");
  }
  if (model.provider == "command" && model.command.empty()) {
    return json.complain("command is missing: the program and its arguments");
  }
  return {};
}

Result<void> check_call(const JsonReader& json, const llm::Call& call) {
  if (call.max_tokens < 1 || call.max_tokens > 1'000'000) {
    return json.complain("max_tokens: expected 1 to 1000000");
  }
  if (!call.extra.empty()) {
    COPPICE_TRY(const Json extra, Json::parse(call.extra, "extra"));
    COPPICE_TRY_VOID(extra.reader("extra").is_object()
                         ? Result<void>()
                         : Result<void>(json.complain("extra: expected an object")));
  }
  return {};
}

Result<LlmModel> read_model(const JsonReader& json) {
  LlmModel model;
  Json extra, price;
  double deadline = 300.0;
  llm::GatewayOptions& gateway = model.gateway;
  Fields fields(json,
                {"name",
                 "provider",
                 "model",
                 "url",
                 "key_env",
                 "ca_file",
                 "proxy",
                 "command",
                 "secret_env",
                 "max_tokens",
                 "max_tokens_name",
                 "temperature",
                 "reasoning_effort",
                 "stream",
                 "structured",
                 "extra",
                 "price",
                 "deadline_seconds",
                 "slots",
                 "attempts",
                 "requests_per_minute",
                 "tokens_per_minute"});
  fields.need("provider", model.provider).need("model", model.model);
  model.name = model.model;
  fields.maybe("name", model.name).maybe("url", model.http.base_url);
  fields.maybe("key_env", model.http.key_env).maybe("ca_file", model.http.ca_file);
  fields.maybe("proxy", model.http.proxy).maybe("command", model.command);
  fields.maybe("secret_env", model.secret_env).maybe("max_tokens", model.call.max_tokens);
  fields.maybe("max_tokens_name", model.http.dialect.max_tokens_name);
  fields.maybe("temperature", model.call.temperature);
  fields.maybe("reasoning_effort", model.call.reasoning_effort);
  fields.maybe("structured", model.http.dialect.structured);
  fields.maybe("stream", model.http.dialect.stream).maybe("extra", extra).maybe("price", price);
  fields.maybe("deadline_seconds", deadline).maybe("slots", gateway.slots);
  fields.maybe("attempts", gateway.retry.attempts);
  fields.maybe("requests_per_minute", gateway.rates.requests_per_minute);
  fields.maybe("tokens_per_minute", gateway.rates.tokens_per_minute);
  COPPICE_TRY(model, fields.done(std::move(model)));
  COPPICE_TRY_VOID(read_provider(json, model));
  COPPICE_TRY_VOID(check_range(json, "deadline_seconds", deadline, kMostSecondsOfCall));
  model.call.deadline = seconds_of(std::max(deadline, 0.001));
  model.call.model = model.model;
  model.call.extra = extra.is_null() ? std::string() : extra.dump();
  COPPICE_TRY_VOID(check_call(json, model.call));
  if (model.gateway.slots < 1 || model.gateway.retry.attempts < 1) {
    return json.complain("slots and attempts: expected 1 or more");
  }
  model.gateway.price = llm::PriceTable::shipped().find(model.model);
  if (const auto at = json.find("price")) {
    COPPICE_TRY(model.gateway.price, read_price(*at));
  }
  return model;
}

// "port_from" before the run (the texts are read by resolved_llm), "ports" in its log.
Result<void> read_ports(const JsonReader& json, LlmSetup& setup) {
  if (const auto folders = json.find("port_from")) {
    COPPICE_TRY(const auto names, folders->texts());
    for (const std::string& name : names) {
      setup.ports.push_back({name, ""});
    }
  }
  if (const auto ports = json.find("ports")) {
    COPPICE_TRY(const auto items, ports->items());
    for (const JsonReader& item : items) {
      LlmPort port;
      Fields fields(item, {"name", "text"});
      fields.need("name", port.name).need("text", port.text);
      COPPICE_TRY(port, fields.done(std::move(port)));
      setup.ports.push_back(std::move(port));
    }
  }
  return {};
}

// The texts of a folder, as one: sources and recipes, not what was measured.
Result<std::string> port_text(const std::string& folder) {
  namespace fs = std::filesystem;
  std::error_code error;
  std::vector<fs::path> files;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string ending = at->path().extension().string();
    const std::string name = at->path().filename().string();
    const bool source = ending == ".cu" || ending == ".cuh" || ending == ".hip" ||
                        ending == ".cpp" || ending == ".h" || ending == ".py";
    if (source || name == "plan.json" || name == "template.json") {
      files.push_back(at->path());
    }
  }
  std::ranges::sort(files);
  if (error || files.empty()) {
    return Error{ErrorCode::missing,
                 "port_from: " + folder + ": expected a folder with a kernel, found none"};
  }
  std::string out;
  for (const fs::path& file : files) {
    COPPICE_TRY(const std::string text, read_text_file(file.string()));
    out += "---- " + file.filename().string() + "\n" + text + (text.ends_with('\n') ? "" : "\n");
  }
  if (out.size() > kMostPortBytes) {
    return Error{ErrorCode::config,
                 fmt::format("port_from: {}: expected at most {} bytes of sources, found {}",
                             folder,
                             kMostPortBytes,
                             out.size())};
  }
  return out;
}

Result<void> read_search_options(const JsonReader& json, LlmSetup& setup) {
  search::LlmOptions& options = setup.search;
  if (options.slots < 1 || options.slots > 64) {
    return json.complain("slots: expected 1 to 64");
  }
  if (!(options.share >= 0.0 && options.share <= 1.0)) {
    return json.complain("share: expected a number from 0 to 1");
  }
  if (options.repairs < 0 || options.repairs > 16) {
    return json.complain("repairs: expected 0 to 16");
  }
  const auto& known = llm::llm_actions();
  for (const std::string& action : options.actions) {
    if (std::ranges::find(known, action) == known.end() || action == "repair" ||
        action == "advise") {
      return json.complain("actions: \"" + action + "\" is none that can be asked for");
    }
  }
  if (std::ranges::find(options.actions, "port") != options.actions.end() && setup.ports.empty()) {
    return json.complain(
        "actions: \"port\" needs \"port_from\": folders with kernels of other targets");
  }
  if (options.advise < 0 || options.advise > 1'000'000) {
    return json.complain("advise: expected a number of attempts, 0 for never");
  }
  if (setup.prompt_tokens < 2000 || setup.prompt_tokens > 2'000'000) {
    return json.complain("prompt_tokens: expected 2000 to 2000000");
  }
  options.on = true;
  return {};
}

}  // namespace

Result<LlmSetup> llm_setup(const JsonReader& json) {
  LlmSetup setup;
  std::string note;
  Json models, budget;
  Fields fields(json,
                {"schema",
                 "note",
                 "models",
                 "budget",
                 "slots",
                 "share",
                 "repairs",
                 "actions",
                 "advise",
                 "port_from",
                 "ports",
                 "prompt_tokens"});
  int schema = 0;
  fields.need("schema", schema).maybe("note", note);
  fields.need("models", models).need("budget", budget);
  fields.maybe("slots", setup.search.slots).maybe("share", setup.search.share);
  fields.maybe("repairs", setup.search.repairs).maybe("actions", setup.search.actions);
  fields.maybe("advise", setup.search.advise).maybe("prompt_tokens", setup.prompt_tokens);
  COPPICE_TRY(setup, fields.done(std::move(setup)));
  if (schema != 1) {
    return json.complain(fmt::format("expected schema 1, found {}", schema));
  }
  COPPICE_TRY_VOID(read_ports(json, setup));
  COPPICE_TRY_VOID(read_search_options(json, setup));
  COPPICE_TRY(const JsonReader limits, json.at("budget"));
  COPPICE_TRY(setup.budget, read_llm_budget(limits));
  COPPICE_TRY(const JsonReader list, json.at("models"));
  COPPICE_TRY(const std::vector<JsonReader> items, list.items());
  for (const JsonReader& item : items) {
    COPPICE_TRY(LlmModel model, read_model(item));
    if (setup.budget.money.nano > 0 && !model.gateway.price) {
      return item.complain(
          "the budget limits dollars and nobody knows the price of " + model.model +
          ": give it a \"price\" ({\"in\", \"out\"} in dollars per million tokens)");
    }
    setup.models.push_back(std::move(model));
  }
  if (setup.models.empty()) {
    return list.complain("expected at least one model");
  }
  return setup;
}

namespace {

Result<Json> with_ports(Json profile) {
  const JsonReader root = profile.reader("llm");
  if (!root.is_object() || !root.find("port_from")) {
    return profile;
  }
  COPPICE_TRY(const auto folders, root.at("port_from")->texts());
  Json out = Json::object();
  COPPICE_TRY(const auto members, root.members());
  for (const auto& [key, value] : members) {
    if (key != "port_from") {
      out.set(key, value.copy());
    }
  }
  Json ports = Json::array();
  for (const std::string& folder : folders) {
    COPPICE_TRY(std::string text, port_text(folder));
    const auto path = std::filesystem::path(folder).lexically_normal();
    const auto last = path.has_filename() ? path.filename() : path.parent_path().filename();
    ports.push(Json::object().set("name", last.string()).set("text", text));
  }
  return std::move(out.set("ports", std::move(ports)));
}

}  // namespace

Result<Json> resolved_llm(const Json& written, const Places& places) {
  const JsonReader at = written.reader("llm");
  Json out = written;
  if (at.is_string()) {
    COPPICE_TRY(const std::string name, at.text());
    if (name == "off") {
      return out;
    }
    const Result<std::string> named = places.find_config("llm/" + name);
    COPPICE_TRY(const std::string path, named.ok() ? named : places.find_config(name));
    COPPICE_TRY(const std::string text, read_text_file(path));
    COPPICE_TRY(out, Json::parse(text, path));
    COPPICE_TRY_VOID(llm_setup(out.reader(path)));
  }
  return with_ports(std::move(out));
}

Result<std::unique_ptr<llm::Provider>> open_provider(const LlmModel& model,
                                                     const std::shared_ptr<llm::Cassette>& cassette,
                                                     const llm::Environment& environment) {
  std::unique_ptr<llm::Provider> provider;
  if (model.provider == "command") {
    llm::CommandOptions options;
    options.argv = model.command;
    options.secret_env = model.secret_env;
    COPPICE_TRY(provider, llm::command_provider(std::move(options), environment));
  } else if (model.provider != "cassette") {
    auto dialect =
        model.provider == "anthropic" ? llm::anthropic_messages() : llm::chat_completions();
    COPPICE_TRY(provider,
                llm::http_provider(std::move(dialect), model.http, environment)
                    .within("llm model " + model.name));
  } else if (!cassette) {
    return Error{ErrorCode::usage,
                 "llm model " + model.name + ": a cassette is needed: --llm-cassette FILE"};
  }
  return cassette ? llm::cassette_provider(cassette, std::move(provider)) : std::move(provider);
}

}  // namespace coppice::cli
