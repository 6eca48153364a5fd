// What a child process sees of our environment: everything but secrets.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::evaluators {

// Whether the name says that the variable holds a secret (one of its words is or ends like KEY,
// TOKEN, SECRET, PASSWORD, CREDENTIALS ...), or the value is an address with a password in it.
bool holds_secret(std::string_view name, std::string_view value);

// "NAME=value" for each variable of `all` (ends with a null pointer) that holds no secret and is
// not `hidden`, with `added` in place of what had the same name.
std::vector<std::string> child_environment(
    const char* const* all,
    const std::map<std::string, std::string, std::less<>>& added,
    const std::vector<std::string>& hidden);

// Overwrites and removes what children may not see from this process's own environment: for a child
// that was forked and goes on in this program. Not while another thread reads the environment.
void forget_secrets(const std::vector<std::string>& hidden);

}  // namespace coppice::evaluators
