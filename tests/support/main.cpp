// The test programs' main function; version 3 of the framework brings its own.
#if __has_include(<catch2/catch.hpp>)
#define CATCH_CONFIG_MAIN
#include "tests/support/catch.h"
#endif
