// Wrong: log-sum-exp in base e.
#define TWIN_LSE(largest, sum) ((largest) + std::log(sum))
#include "plain_attend.h"
