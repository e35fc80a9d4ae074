/* hostile.h - damaged GGUF files as tables of cases: what is done to a valid tiny model, and what loading it must say. */
#ifndef PRISM_TESTS_HOSTILE_H
#define PRISM_TESTS_HOSTILE_H

#include "prism/prism.h"
#include "tests/support/tiny_model.h"

/* prism_model_load with the warnings kept. */
struct loaded {
    enum prism_status status;
    prism_model *model;
    struct prism_error err;
    char log[8192]; /* warning lines, each ended by a newline */
    size_t log_len;
};
void hostile_load(struct loaded *l, const char *path, bool check_tensors, bool vocab_only);

/* Writes the file and loads it; fails the test when that is refused or warned of. what: the file, in words. */
void hostile_load_quietly(struct gb *g, const char *what);

enum hostile_base { BASE_LLAMA, BASE_QWEN3, BASE_SPM };

/* A key set to a value before the file is written; key NULL: none. */
struct hostile_set {
    const char *key;
    bool remove;
    uint32_t type;  /* enum prism_gguf_vtype */
    uint64_t u;     /* of an integer or bool type */
    double f;       /* of f32 */
    const char *s;  /* of a string */
};

struct hostile_case {
    int row;                 /* of the list of hostile files, 1..120; 0: not of it */
    const char *what;
    char verdict;            /* 'R': refused, 'W': loads with a warning, 'A': loads without a word */
    const char *says;        /* in the refusal or the warning */
    enum hostile_base base;
    const char *family;      /* of tiny_family, instead of the base; NULL: none */
    const char *golden;      /* a file of tests/golden/arch, instead of both; NULL: none */
    struct hostile_set set;
    void (*change)(struct gb *g);                               /* of the parts */
    void (*patch)(const struct gb *g, struct gb_image *im);     /* of the finished bytes */
    bool check_tensors;
};

/* What a case does to the parts of a file. */
void hostile_apply(struct gb *g, const struct hostile_case *c);

/* Makes, loads and judges each case; fails the test after the last one if any went wrong, listing them all. */
void hostile_run(const struct hostile_case *cases, size_t n);

/* One verdict. name: of the file, which a refusal must contain. Prints what was wrong and returns false when it is not kept. */
bool hostile_judge(const struct loaded *l, char verdict, const char *says, const char *name);

#endif
