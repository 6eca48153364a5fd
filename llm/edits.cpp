// Finds edits by their marker lines, and places them.
#include "llm/edits.h"

#include "llm/extract.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <functional>

namespace coppice::llm {
namespace {

constexpr std::size_t kMostSearch = 65536;

struct Span {
  std::size_t begin = 0, end = 0;
};

enum class Part { outside, search, replace };

bool marks(std::string_view line, char mark, std::string_view word) {
  line = trimmed(line);
  const std::size_t run = std::min(line.find_first_not_of(mark), line.size());
  return run >= 5 && trimmed(line.substr(run)) == word;
}

// Where `part` is found in `text`, overlapping places too; at most two. In time that is linear in
// both whatever they repeat (Knuth, Morris, Pratt): a reply must not be able to keep us busy.
template <class Text, class Same>
std::vector<std::size_t> two_places(const Text& text, const Text& part, Same same) {
  std::vector<std::size_t> out;
  std::vector<std::size_t> border(part.size() + 1, 0);  // of the part's first i, the longest
  for (std::size_t i = 1, k = 0; i < part.size(); border[++i] = k) {
    while (k > 0 && !same(part[i], part[k])) {
      k = border[k];
    }
    k += same(part[i], part[k]) ? 1 : 0;
  }
  for (std::size_t i = 0, k = 0; i < text.size() && out.size() < 2; ++i) {
    while (k > 0 && (k == part.size() || !same(text[i], part[k]))) {
      k = border[k];
    }
    k += same(text[i], part[k]) ? 1 : 0;
    if (k == part.size()) {
      out.push_back(i + 1 - k);
    }
  }
  return out;
}

std::vector<Span> exact_places(std::string_view text, std::string_view part) {
  std::vector<Span> out;
  for (const std::size_t at : two_places(text, part, std::equal_to<char>())) {
    out.push_back({at, at + part.size()});
  }
  return out;
}

struct Line {
  std::string_view text;  // without blanks at its end
  Span span;              // with its newline
};

std::vector<Line> lines_of(std::string_view text) {
  std::vector<Line> out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t newline = text.find('\n', at);
    const std::size_t end = newline == std::string_view::npos ? text.size() : newline + 1;
    const std::string_view line = text.substr(at, end - at);
    out.push_back({line.substr(0, line.find_last_not_of(" \t\r\n") + 1), {at, end}});
    at = end;
  }
  return out;
}

// Whole lines that are equal but for blanks at their ends; at most two places.
std::vector<Span> loose_places(std::string_view text, std::string_view part) {
  const std::vector<Line> have = lines_of(text);
  const std::vector<Line> want = lines_of(part);
  std::vector<Span> out;
  const auto same = [](const Line& a, const Line& b) {
    return a.text == b.text;
  };
  for (const std::size_t at : two_places(have, want, same)) {
    out.push_back({have[at].span.begin, have[at + want.size() - 1].span.end});
  }
  return out;
}

std::string first_line(std::string_view text) {
  return shortened(trimmed(trimmed(text).substr(0, trimmed(text).find('\n'))), 60);
}

}  // namespace

std::vector<TextEdit> edits_in(std::string_view text, std::vector<std::string>& refused) {
  std::vector<TextEdit> out;
  TextEdit edit;
  Part part = Part::outside;
  each_line(text, [&](std::string_view line) {
    if (marks(line, '<', "SEARCH")) {
      if (part != Part::outside) {
        refused.push_back(fmt::format("edit \"{}\": it does not end", first_line(edit.search)));
      }
      edit = {};
      part = Part::search;
    } else if (part == Part::search && marks(line, '=', "")) {
      part = Part::replace;
    } else if (part == Part::replace && marks(line, '>', "REPLACE")) {
      out.push_back(std::move(edit));
      part = Part::outside;
    } else if (part != Part::outside) {
      (part == Part::search ? edit.search : edit.replace).append(line).append("\n");
    }
  });
  if (part != Part::outside) {
    refused.push_back(
        fmt::format("edit \"{}\": it does not end (was the reply cut?)", first_line(edit.search)));
  }
  return out;
}

Result<std::string> apply_edits(std::string_view text,
                                const std::vector<TextEdit>& edits,
                                std::vector<std::string>& refused) {
  struct Placed {
    Span span;
    const TextEdit* edit;
  };
  std::vector<Placed> placed;
  const std::size_t before = refused.size();
  for (const TextEdit& edit : edits) {
    const std::string name = fmt::format("edit \"{}\"", first_line(edit.search));
    if (trimmed(edit.search).empty()) {
      refused.push_back(name + ": there is nothing to search for");
      continue;
    }
    if (edit.search.size() > kMostSearch) {
      refused.push_back(fmt::format("{}: more than {} bytes to search for", name, kMostSearch));
      continue;
    }
    std::vector<Span> places = exact_places(text, edit.search);
    if (places.empty()) {
      places = loose_places(text, edit.search);
    }
    if (places.size() != 1) {
      refused.push_back(name + (places.empty() ? ": not found in the parent's source"
                                               : ": found more than once in the parent's source"));
      continue;
    }
    placed.push_back({places.front(), &edit});
  }
  std::ranges::sort(placed, {}, [](const Placed& p) { return p.span.begin; });
  for (std::size_t i = 1; i < placed.size(); ++i) {
    if (placed[i].span.begin < placed[i - 1].span.end) {
      refused.push_back(
          fmt::format("edit \"{}\": it overlaps another", first_line(placed[i].edit->search)));
    }
  }
  if (refused.size() > before) {
    return Error{
        ErrorCode::config,
        fmt::format("{} of {} edits can't be applied", refused.size() - before, edits.size())};
  }
  std::string out;
  std::size_t at = 0;
  for (const Placed& place : placed) {
    out += text.substr(at, place.span.begin - at);
    out += place.edit->replace;
    at = place.span.end;
  }
  out += text.substr(at);
  return out;
}

}  // namespace coppice::llm
