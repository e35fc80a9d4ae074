/* selectors.h - the rows of the selector table: one file each. */
#ifndef PRISM_ATTENTION_SELECTORS_H
#define PRISM_ATTENTION_SELECTORS_H

#include "src/attention/select.h"

extern const struct prism_selector prism_selector_prism, prism_selector_meanpool; /* prism.c */

#endif
