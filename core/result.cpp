// Which exit status an error leads to.
#include "core/result.h"

namespace coppice {

int exit_status(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::usage:
    case ErrorCode::config:
    case ErrorCode::missing:
      return 2;
    case ErrorCode::environment:
    case ErrorCode::io:
    case ErrorCode::busy:
    case ErrorCode::corrupt:
      return 3;
    case ErrorCode::interrupted:
      return 130;
  }
  COPPICE_UNREACHABLE();
}

}  // namespace coppice
