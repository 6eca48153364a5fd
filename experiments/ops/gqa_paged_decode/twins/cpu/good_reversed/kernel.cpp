// Right: keys from the last to the first.
#define TWIN_ORDER(i, length) ((length)-1 - (i))
#include "plain_attend.h"
