// Writes to the program's two streams.
#include "cli/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>

namespace coppice::cli {
namespace {

int terminal_width(int descriptor) {
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20) {
    return size.ws_col;
  }
  return 80;
}

bool dumb_terminal() {
  const char* term = std::getenv("TERM");
  return term == nullptr || std::string_view(term) == "dumb";
}

// Cuts to `columns` without splitting a UTF-8 sequence; one column a character is near enough.
std::string_view fit(std::string_view text, int columns) {
  std::size_t end = 0;
  int used = 0;
  while (end < text.size()) {
    const bool starts = (static_cast<unsigned char>(text[end]) & 0xc0u) != 0x80u;
    if (starts && used == columns) {
      break;
    }
    used += starts ? 1 : 0;
    ++end;
  }
  return text.substr(0, end);
}

}  // namespace

Console Console::standard() {
  const char* no_colour = std::getenv("NO_COLOR");
  const bool wanted = no_colour == nullptr || *no_colour == '\0';
  Look look;
  look.live = ::isatty(STDERR_FILENO) == 1 && !dumb_terminal();
  look.colour = wanted && ::isatty(STDOUT_FILENO) == 1 && !dumb_terminal();
  look.width = terminal_width(STDERR_FILENO);
  return Console(stdout, stderr, look);
}

void Console::answer(std::string_view text) {
  clear_progress();
  std::fwrite(text.data(), 1, text.size(), out_);
  if (text.empty() || text.back() != '\n') {
    std::fputc('\n', out_);
  }
  std::fflush(out_);
}

void Console::say(std::string_view text) {
  clear_progress();
  std::fwrite(text.data(), 1, text.size(), err_);
  if (text.empty() || text.back() != '\n') {
    std::fputc('\n', err_);
  }
  std::fflush(err_);
}

void Console::show_progress(std::string_view line) {
  if (!look_.live) {
    return;
  }
  const std::string_view shown = fit(line, look_.width - 1);
  std::fprintf(err_, "\r\033[K%.*s", static_cast<int>(shown.size()), shown.data());
  std::fflush(err_);
  drawn_ = true;
}

void Console::clear_progress() {
  if (drawn_) {
    std::fputs("\r\033[K", err_);
    std::fflush(err_);
    drawn_ = false;
  }
}

std::string Console::paint(const char* code, std::string_view text) const {
  if (!look_.colour) {
    return std::string(text);
  }
  return "\033[" + std::string(code) + "m" + std::string(text) + "\033[0m";
}

std::string Console::bold(std::string_view text) const {
  return paint("1", text);
}
std::string Console::dim(std::string_view text) const {
  return paint("2", text);
}
std::string Console::good(std::string_view text) const {
  return paint("32", text);
}
std::string Console::bad(std::string_view text) const {
  return paint("31", text);
}

}  // namespace coppice::cli
