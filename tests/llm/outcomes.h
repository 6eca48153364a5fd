// A small call, and what tests expect of its outcome.
#pragma once

#include "llm/provider.h"
#include "tests/support/catch.h"

namespace coppice::llm {

inline Call small_call() {
  Call call;
  call.model = "m";
  call.messages = {{"system", "You write kernels."}, {"user", "Make it faster."}};
  call.stable = 1;
  call.max_tokens = 64;
  call.deadline = std::chrono::seconds(5);
  return call;
}

inline const Reply& reply_of(const Outcome& outcome) {
  if (const Failure* failure = std::get_if<Failure>(&outcome)) {
    FAIL(to_text(failure->kind) << ": " << failure->message);
  }
  return std::get<Reply>(outcome);
}

inline const Failure& failure_in(const Outcome& outcome) {
  if (const Reply* reply = std::get_if<Reply>(&outcome)) {
    FAIL("a reply: " << reply->text.substr(0, 200));
  }
  return std::get<Failure>(outcome);
}

}  // namespace coppice::llm
