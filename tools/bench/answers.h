/* answers.h - documents with questions whose answers stand in place, and what a model has to say for each: models/tasks.
 *
 * A document is tokenized whole. The answer at position pos is right when the largest logit of row pos - 1 + i is the i-th token of the
 * answer, for all i: one prefill that keeps the largest logit of every row judges them all. */
#ifndef PRISM_TOOLS_ANSWERS_H
#define PRISM_TOOLS_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "prism/prism.h"

enum { ANSWERS_MAX_KINDS = 16, ANSWERS_DISTANCES = 4 };

/* Upper ends of the classes of distance in tokens; the last has none. */
extern const uint32_t answers_distance_ends[ANSWERS_DISTANCES - 1];

struct answer {
    uint32_t pos, n;         /* where its tokens stand */
    uint32_t kind, distance; /* index of answers.kinds; class of the distance to the last earlier place with its first two tokens (one, if it has one) */
};

struct answers_document {
    char *file;              /* its name in the list */
    uint32_t kind, length;   /* as listed; length: a class, in tokens */
    int32_t *tokens;
    size_t n_tokens;
    struct answer *answers;
    size_t n_answers;
    uint32_t first_row;      /* the first row that is judged */
};

struct answers {
    char *kinds[ANSWERS_MAX_KINDS];
    size_t n_kinds;
    struct answers_document *documents;
    size_t n_documents;
};

/* Reads FOLDER/list.txt, whose lines are "FILE KIND LENGTH POS ID ID ...", and the documents with a length from `lengths` (n_lengths 0: all),
 * and tokenizes them. That the listed ids are those at the listed place is checked: else it is another vocabulary.
 * PROCESS_ERROR after one line; free in any case. */
int answers_read(struct answers *a, const char *folder, const prism_model *model, const uint32_t *lengths, size_t n_lengths);
void answers_free(struct answers *a);

/* best[row]: the token with the largest logit of every row from first_row on. */
bool answers_right(const struct answers_document *d, const struct answer *a, const int32_t *best);

#endif
