// Wrong: reads the first page of a sequence twice and its second never.
#define TWIN_PAGE(pages, n) ((pages)[(n) == 1 ? 0 : (n)])
#include "plain_attend.h"
