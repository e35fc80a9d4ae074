/* select_define.h - the comparison selectors as their papers define them, in double and token by token: the judge of src/attention.
 *
 * They know nothing of panels, bits and integers. Where a decision is closer than the arithmetic both outcomes are right: a near tie. */
#ifndef PRISM_TESTS_SELECT_DEFINE_H
#define PRISM_TESTS_SELECT_DEFINE_H

#include "tests/support/select_case.h"

enum { DEFINE_MAX_TOKENS = 640, DEFINE_MAX_BLOCKS = 20 }; /* of a case, and of its blocks */

/* Blocks of one head by absolute query block, sink and diagonal aside. near: the row hangs on a near tie. */
struct select_choice {
    bool want[DEFINE_MAX_BLOCKS][DEFINE_MAX_BLOCKS], near[DEFINE_MAX_BLOCKS];
};

/* The call that adds tokens [from, to) to the earlier ones. *out: all rows of the call are set. */
typedef void select_define_fn(const struct select_case *c, size_t from, size_t to, size_t head, struct select_choice *out);
select_define_fn select_define_streaming, select_define_vertical_slash, select_define_flexprefill, select_define_xattention;

#endif
