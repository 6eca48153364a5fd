// Right: eight parts, merged.
#define TWIN_PARTS 8
#include "plain_attend.h"
