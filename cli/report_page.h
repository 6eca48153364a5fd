// report_page: one HTML file from the report's data; opens without network.
#pragma once

#include "core/json.h"

#include <string>
#include <string_view>

namespace coppice::cli {

// The page with D3, style, script and data inside.
std::string report_page(std::string_view title, const Json& data);
// A page without scripts, with the same style; `body` is HTML.
std::string plain_page(std::string_view title, std::string_view body);
// Text as it may stand between tags.
std::string html_text(std::string_view text);

}  // namespace coppice::cli
