// What crosses between the program and a device agent, as messages: sessions (an op restricted to
// one suite), tasks, frozen baselines, evidence.
#pragma once

#include "evaluators/device_backend.h"
#include "evaluators/wire.h"

namespace coppice::evaluators {

// Templates, twins and other suites stay behind: an agent measures, it does not search.
Json to_json(const DeviceSession& session);
Result<DeviceSession> device_session(const JsonReader& json);

// Binaries and the source travel as attachments; their digests are checked on arrival.
Message task_message(const DeviceTask& task);
Result<DeviceTask> device_task(const Message& message);

Json to_json(const BaselineFrozen& frozen);
Result<BaselineFrozen> baseline_frozen(const JsonReader& json);

// {"error": {"code", "message"}} and back; nothing when the message is no error.
Json error_json(const Error& error);
std::optional<Error> error_of(const JsonReader& json);

}  // namespace coppice::evaluators
