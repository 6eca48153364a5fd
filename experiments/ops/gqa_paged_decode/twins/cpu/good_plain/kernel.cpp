// Right: the plainest form.
#include "plain_attend.h"
