// The test programs' main function.
#define CATCH_CONFIG_MAIN
#include "tests/support/catch.h"
