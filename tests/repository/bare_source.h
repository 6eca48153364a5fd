// Sources as the naming check reads them.
#pragma once

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>
#include <utility>

namespace coppice::repository {

// A source without comments, directives and the texts of its literals.
class BareSource {
 public:
  explicit BareSource(const std::string& text) : text_(text) {}

  std::string take() {
    while (at_ < text_.size()) {
      if (looking_at("//") || line_start_directive()) {
        skip_line();
      } else if (looking_at("/*")) {
        at_ = std::min(text_.find("*/", at_), text_.size() - 2) + 2;
      } else if (looking_at("R\"")) {
        raw();
      } else if (text_[at_] == '"' || (text_[at_] == '\'' && !digit_separator())) {
        quoted(text_[at_]);
      } else {
        out_ += text_[at_] == '\n' ? ' ' : text_[at_];
        ++at_;
      }
    }
    return std::move(out_);
  }

 private:
  bool looking_at(std::string_view what) const {
    return text_.compare(at_, what.size(), what) == 0;
  }
  bool line_start_directive() const {
    return text_[at_] == '#' && (at_ == 0 || text_[at_ - 1] == '\n');
  }
  bool digit_separator() const {
    return at_ > 0 && std::isxdigit(static_cast<unsigned char>(text_[at_ - 1])) != 0;
  }
  void skip_line() {
    do {
      at_ = std::min(text_.find('\n', at_), text_.size() - 1) + 1;
    } while (at_ > 1 && at_ < text_.size() && text_[at_ - 2] == '\\');
    out_ += ' ';
  }
  void raw() {
    const std::size_t open = text_.find('(', at_);
    const std::string close = ")" + text_.substr(at_ + 2, open - at_ - 2) + "\"";
    at_ = std::min(text_.find(close, open), text_.size() - close.size()) + close.size();
    out_ += "\"\"";
  }
  void quoted(char mark) {
    for (++at_; at_ < text_.size() && text_[at_] != mark; ++at_) {
      at_ += text_[at_] == '\\' ? 1 : 0;
    }
    ++at_;
    out_ += "\"\"";
  }

  const std::string& text_;
  std::string out_;
  std::size_t at_ = 0;
};

}  // namespace coppice::repository
