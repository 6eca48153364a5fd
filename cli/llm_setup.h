// LlmSetup: which language models a run may ask, how, and for how much; the "llm" of a
// configuration.
#pragma once

#include "cli/places.h"
#include "core/json.h"
#include "llm/budget.h"
#include "llm/cassette.h"
#include "llm/command_provider.h"
#include "llm/gateway.h"
#include "search/search_config.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace coppice::cli {

// One model behind one provider. docs/llm.md describes each member.
struct LlmModel {
  std::string name;      // in reports
  std::string provider;  // openai, anthropic, command, cassette
  std::string model;     // as the provider calls it
  llm::HttpProviderOptions http;
  std::vector<std::string> command, secret_env;
  llm::Call call;  // max_tokens, temperature, reasoning_effort, extra, deadline
  llm::GatewayOptions gateway;
};

// A kernel of another target, as one text.
struct LlmPort {
  std::string name;
  std::string text;
};

struct LlmSetup {
  std::vector<LlmModel> models;
  llm::Budget budget;
  search::LlmOptions search;
  std::int64_t prompt_tokens = 24000;
  std::vector<LlmPort> ports;  // what the action "port" shows, in turn
};

// Strict, as run configurations are. Errors too: no model, a budget of money with a model whose
// price nobody knows, no limit on anything.
Result<LlmSetup> llm_setup(const JsonReader& json);

// "off", an object, or the name of a file in configs/llm: resolved to "off" or the object, and the
// folders of "port_from" to their texts ("ports"), so that the log holds all of it. Keys are never
// in it, only the names of the variables that hold them.
Result<Json> resolved_llm(const Json& written, const Places& places);

// Opens what a model needs; `cassette` may be null.
Result<std::unique_ptr<llm::Provider>> open_provider(const LlmModel& model,
                                                     const std::shared_ptr<llm::Cassette>& cassette,
                                                     const llm::Environment& environment);

}  // namespace coppice::cli
