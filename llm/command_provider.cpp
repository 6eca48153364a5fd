// The command's request and reply, and what its end means.
#include "llm/command_provider.h"

#include "llm/dialect.h"
#include "llm/run_command.h"

#include <fmt/format.h>

#include <algorithm>

namespace coppice::llm {
namespace {

Failure command_failure(FailureKind kind, std::string message) {
  return Failure{.kind = kind, .message = std::move(message)};
}

class CommandProvider final : public Provider {
 public:
  CommandProvider(CommandOptions options, Secrets secrets)
      : Provider(std::move(secrets)), options_(std::move(options)) {}

 protected:
  Outcome attempt(const Call& call, const std::stop_token& stop) override {
    const auto begin = std::chrono::steady_clock::now();
    Outcome outcome = ask(call, stop);
    const Nanoseconds latency = std::chrono::steady_clock::now() - begin;
    if (Reply* reply = std::get_if<Reply>(&outcome)) {
      reply->latency = latency;
      if (!reply->usage.counted) {
        reply->usage.in = estimated_tokens(call.messages);
        reply->usage.out = estimated_tokens(reply->text);
      }
    } else {
      std::get<Failure>(outcome).latency = latency;
    }
    return outcome;
  }

 private:
  Outcome ask(const Call& call, const std::stop_token& stop) const {
    const CommandLimits limits{call.deadline, options_.max_bytes};
    const auto ran = run_command(options_.argv, to_json(call).dump() + "\n", limits, stop);
    if (!ran.ok()) {
      return command_failure(FailureKind::bad_request, ran.error().message);
    }
    const std::string errors = ran->errors.empty() ? "" : ": " + excerpt(ran->errors);
    switch (ran->end) {
      case CommandRun::End::timed_out:
        return command_failure(
            FailureKind::timeout,
            fmt::format("the command gave no reply in {:.3g} s", to_seconds(call.deadline)));
      case CommandRun::End::too_large:
        return command_failure(
            FailureKind::bad_reply,
            fmt::format("the command wrote more than {} bytes", options_.max_bytes));
      case CommandRun::End::stopped:
        return command_failure(FailureKind::cancelled, "stopped");
      case CommandRun::End::signalled:
        return command_failure(FailureKind::overloaded,
                               fmt::format("the command died of signal {}{}", ran->status, errors));
      case CommandRun::End::exited:
        break;
    }
    Outcome outcome = read_command_reply(ran->output);
    const Failure* failure = std::get_if<Failure>(&outcome);
    // A command may explain its failure as JSON; without that its exit status and stderr do.
    if (ran->status != 0 && (!failure || failure->kind == FailureKind::bad_reply)) {
      return command_failure(
          FailureKind::overloaded,
          fmt::format("the command ended with status {}{}", ran->status, errors));
    }
    return outcome;
  }

  CommandOptions options_;
};

}  // namespace

Outcome read_command_reply(std::string_view output) {
  const auto parsed = Json::parse(output, "the command's output");
  if (!parsed.ok()) {
    return command_failure(FailureKind::bad_reply, excerpt(parsed.error().message));
  }
  const JsonReader root = parsed->reader("the command's output");
  if (!root.is_object()) {
    return command_failure(FailureKind::bad_reply, excerpt(root.error("an object").message));
  }
  if (const std::string error = text_at(root, "error"); !error.empty()) {
    const auto kind = failure_kind(text_at(root, "kind"));
    return command_failure(kind.ok() ? *kind : FailureKind::overloaded, excerpt(error));
  }
  const auto text = root.find("text");
  if (!text || !text->is_string()) {
    return command_failure(FailureKind::bad_reply, "the command's output has no \"text\"");
  }
  Reply reply;
  reply.text = text->text().value();
  reply.model = text_at(root, "model");
  reply.request_id = text_at(root, "request_id");
  reply.finish = text_at(root, "finish") == "length" ? Finish::length : Finish::stop;
  if (const auto counts = root.find("usage")) {
    reply.usage.in = count_at(*counts, "in");
    reply.usage.out = count_at(*counts, "out");
    reply.usage.cached = std::min(reply.usage.in, count_at(*counts, "cached"));
    reply.usage.reasoning = count_at(*counts, "reasoning");
    reply.usage.counted = reply.usage.in > 0 || reply.usage.out > 0;
  }
  return reply;
}

Result<std::unique_ptr<Provider>> command_provider(CommandOptions options,
                                                   const Environment& environment) {
  if (options.argv.empty() || options.argv.front().empty()) {
    return Error{ErrorCode::config, "command: expected a program and its arguments, found none"};
  }
  Secrets secrets;
  for (const std::string& name : options.secret_env) {
    secrets.add(environment(name).value_or(""));
  }
  return std::unique_ptr<Provider>(
      std::make_unique<CommandProvider>(std::move(options), std::move(secrets)));
}

}  // namespace coppice::llm
