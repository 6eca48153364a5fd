// Goes by names: a list of what may pass would break compilers, CUDA and Python in ways nobody
// sees.
#include "evaluators/child_environment.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <cstring>

extern char** environ;

namespace coppice::evaluators {
namespace {

bool secret_word(const std::string& word) {
  constexpr std::array<std::string_view, 5> kEndings = {
      "KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL"};
  constexpr std::array<std::string_view, 8> kWords = {
      "KEYS", "TOKENS", "SECRETS", "PASSWORDS", "CREDENTIALS", "PASSWD", "PASSPHRASE", "JWT"};
  return std::ranges::any_of(kEndings, [&](std::string_view e) { return word.ends_with(e); }) ||
         std::ranges::find(kWords, word) != kWords.end();
}

// scheme://user:password@host
bool holds_password(std::string_view value) {
  const std::size_t scheme = value.find("://");
  if (scheme == std::string_view::npos) {
    return false;
  }
  const std::string_view rest = value.substr(scheme + 3);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?# "));
  const std::size_t at = authority.rfind('@');
  return at != std::string_view::npos &&
         authority.substr(0, at).find(':') != std::string_view::npos;
}

bool stays_here(std::string_view name,
                std::string_view value,
                const std::vector<std::string>& hidden) {
  return std::ranges::find(hidden, name) != hidden.end() || holds_secret(name, value);
}

std::pair<std::string_view, std::string_view> split(std::string_view item) {
  const std::size_t equals = std::min(item.find('='), item.size());
  return {item.substr(0, equals), item.substr(std::min(equals + 1, item.size()))};
}

}  // namespace

bool holds_secret(std::string_view name, std::string_view value) {
  std::string word;
  for (const char c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      word += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    } else if (secret_word(word)) {
      return true;
    } else {
      word.clear();
    }
  }
  return secret_word(word) || holds_password(value);
}

std::vector<std::string> child_environment(
    const char* const* all,
    const std::map<std::string, std::string, std::less<>>& added,
    const std::vector<std::string>& hidden) {
  std::vector<std::string> out;
  for (; all != nullptr && *all != nullptr; ++all) {
    const auto [name, value] = split(*all);
    if (added.find(name) == added.end() && !stays_here(name, value, hidden)) {
      out.emplace_back(*all);
    }
  }
  for (const auto& [name, value] : added) {
    out.push_back(name + "=" + value);
  }
  return out;
}

void forget_secrets(const std::vector<std::string>& hidden) {
  std::vector<std::string> names;
  for (char** item = environ; item != nullptr && *item != nullptr; ++item) {
    const auto [name, value] = split(*item);
    if (stays_here(name, value, hidden)) {
      names.emplace_back(name);
      // The text is what /proc/self/environ shows, also after the variable is gone.
      ::explicit_bzero(const_cast<char*>(value.data()), value.size());
    }
  }
  for (const std::string& name : names) {
    ::unsetenv(name.c_str());
  }
}

}  // namespace coppice::evaluators
