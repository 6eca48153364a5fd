// Puts the report's parts into one HTML file.
#include "cli/report_page.h"

namespace coppice::cli {
namespace embedded {
std::string_view page_html();
std::string_view page_css();
std::string_view page_js();
std::string_view d3_js();
}  // namespace embedded

namespace {

// Inside <script>, "</" would end the block early and "<!--" would start a comment; JSON may spell
// '<' as \u003c.
std::string safe_json(const std::string& text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (c == '<') {
      out += "\\u003c";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

std::string html_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '&':
        out += "&amp;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string plain_page(std::string_view title, std::string_view body) {
  std::string out =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n<title>";
  out += html_text(title) + "</title>\n<style>\n";
  out += embedded::page_css();
  out += "</style>\n</head>\n<body>\n<main>\n";
  out += body;
  return out + "</main>\n</body>\n</html>\n";
}

std::string report_page(std::string_view title, const Json& data) {
  std::string out;
  std::string_view page = embedded::page_html();
  while (!page.empty()) {
    const std::size_t at = page.find('@');
    const std::size_t end = at == page.npos ? page.npos : page.find('@', at + 1);
    if (end == page.npos) {
      break;
    }
    out += page.substr(0, at);
    const std::string_view name = page.substr(at + 1, end - at - 1);
    page.remove_prefix(end + 1);
    if (name == "TITLE") {
      out += html_text(title);
    } else if (name == "STYLE") {
      out += embedded::page_css();
    } else if (name == "DATA") {
      out += safe_json(data.dump());
    } else if (name == "D3") {
      out += embedded::d3_js();
    } else if (name == "SCRIPT") {
      out += embedded::page_js();
    } else {
      COPPICE_UNREACHABLE();
    }
  }
  out += page;
  return out;
}

}  // namespace coppice::cli
