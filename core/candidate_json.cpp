// The identity of a candidate: what makes two of them the same work.
#include "core/candidate.h"
#include "core/codec.h"

namespace coppice {

Digest Candidate::identity() const {
  const Json json = Json::object()
                        .set("v", 1)
                        .set("backend", backend)
                        .set("source", source)
                        .set("plan", to_json(plan))
                        .set("axis_values", to_json(axis_values))
                        .set("flags", Json::array_of(flags, [](const auto& f) { return Json(f); }))
                        .set("precision", precision);
  return sha256(json.dump());
}

}  // namespace coppice
