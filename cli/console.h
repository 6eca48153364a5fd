// Console: the two streams of the program; answers on stdout, everything else on stderr.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

namespace coppice::cli {

// Used by one thread at a time. Streams stay the caller's.
class Console {
 public:
  struct Look {
    bool live = false;    // stderr is a terminal: one progress line is redrawn in place
    bool colour = false;  // stdout is a terminal and NO_COLOR is not set
    int width = 80;       // columns of the terminal
  };
  Console(std::FILE* out, std::FILE* err, Look look) : out_(out), err_(err), look_(look) {}
  // stdout and stderr of this process, looked at.
  static Console standard();

  // A line (or several) of the answer.
  void answer(std::string_view text);
  // A line for a person beside the answer.
  void say(std::string_view text);
  // Replaces the live line. Without a terminal it does nothing: plain lines go through say().
  void show_progress(std::string_view line);
  void clear_progress();

  bool live() const { return look_.live; }
  bool colour() const { return look_.colour; }
  int width() const { return look_.width; }
  std::string bold(std::string_view text) const;
  std::string dim(std::string_view text) const;
  std::string good(std::string_view text) const;  // green
  std::string bad(std::string_view text) const;   // red

 private:
  std::string paint(const char* code, std::string_view text) const;
  std::FILE* out_;
  std::FILE* err_;
  Look look_;
  bool drawn_ = false;
};

}  // namespace coppice::cli
