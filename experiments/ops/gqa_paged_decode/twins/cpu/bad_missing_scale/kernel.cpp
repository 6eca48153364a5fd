// Wrong: logits without sm_scale.
#define TWIN_SCALE(scale) 1.0f
#include "plain_attend.h"
