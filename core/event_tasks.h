// How the events of runs that are made of tasks are written and read; for event_json.cpp alone.
#pragma once

#include "core/event.h"
#include "core/json.h"

namespace coppice {

Json body(const SliceEnded& event);
Result<Event> read_slice_ended(const JsonReader& json);
Json body(const Allocated& event);
Result<Event> read_allocated(const JsonReader& json);

}  // namespace coppice
