/* internal.h - what the files of this room share.
 *
 *   memory.c       arena, limits, errors               eval.c       expressions -> values
 *   lexer.c        text -> tokens, white space         access.c     attributes, items, slices
 *   lex_item.c     the tokens inside a tag             call.c       arguments, macros, global functions
 *   parse.c        statements -> nodes                 exec.c       statements -> text
 *   parse_expr.c   expressions -> nodes                filters.c, filters_list.c, tests.c, methods.c   what values can do
 *   string.c       strings with origins                write.c, date.c   values and dates as text
 *   value.c        truth, order, items                 public.c     the functions of prism.h
 *   render.c       the variables, the result
 *
 * Functions that return bool return false after a failure, which c->err describes; then all there is to do is to return as well. Everything
 * lives in the arena of one rendering. */
#ifndef PRISM_CHAT_INTERNAL_H
#define PRISM_CHAT_INTERNAL_H

#include "src/chat/chat.h"

/* ---- limits: those of one rendering, memory.c ---- */

#define CHAT_MAX_DEPTH 100 /* of parsing, and of evaluating */
#define CHAT_MAX_RANGE 100000

struct chat_chunk; /* memory.c */

struct chat {
    struct prism_error *err;
    enum prism_status status;
    uint32_t line;            /* of what is being evaluated */
    unsigned depth;
    struct chat_chunk *chunks;
    size_t memory, max_memory;
    uint64_t steps, max_steps;
    struct chat_scope *globals;
    struct chat_builder *out; /* where statements write */
    int64_t now;
};

/* Memory that is zero; NULL after a failure. */
void *chat_alloc(struct chat *c, size_t count, size_t size);
/* Work in proportion to n bytes or items that allocates nothing. */
bool chat_charge(struct chat *c, size_t n);
bool chat_enter(struct chat *c); /* one level deeper, or a failure */
static inline void chat_leave(struct chat *c) { c->depth--; }
/* Returns false. The first failure counts. */
bool chat_fail(struct chat *c, enum prism_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));
void chat_free(struct chat *c);

/* For "%.*s" of names from a template. */
#define SHOW(p, n) (int)((n) < 60 ? (n) : 60), (p)

/* ---- values ---- */

enum chat_type { CHAT_UNDEFINED, CHAT_NONE, CHAT_BOOL, CHAT_INT, CHAT_STRING, CHAT_LIST, CHAT_DICT, CHAT_NAMESPACE, CHAT_MACRO, CHAT_METHOD,
                 CHAT_GLOBAL, CHAT_LOOP };

/* mark[i]: byte i was written by a user; NULL: `user` says it for all. */
struct chat_string {
    const char *p;
    const bool *mark;
    size_t n;
    bool user;
};

struct chat_value {
    enum chat_type type;
    bool tuple;                       /* of a list: written in round brackets */
    union {
        int64_t i;                    /* BOOL, INT; GLOBAL: which */
        const struct chat_string *s;  /* STRING; UNDEFINED: what is undefined, or NULL */
        const struct chat_list *list;
        struct chat_dict *dict;       /* DICT, NAMESPACE */
        const struct chat_macro *macro;
        const struct chat_method *method;
        const struct chat_loop *loop;
    };
};

struct chat_list {
    struct chat_value *v;
    size_t n;
};

struct chat_dict {
    struct chat_pair {
        struct chat_value key, value;
    } *pairs;
    size_t n, cap;
};

struct chat_method {
    const struct chat_method_row *row;
    struct chat_value self;
};

struct chat_loop {
    const struct chat_list *items;
    size_t at;
};

/* Variables of a template, a loop's body, a macro's body. */
struct chat_scope {
    struct chat_scope *parent;
    struct chat_variable {
        struct chat_variable *next;
        const char *name;
        size_t n;
        struct chat_value value;
    } *first;
};

struct chat_macro {
    const struct chat_node *node;
    struct chat_scope *scope; /* where it was defined */
};

static inline struct chat_value chat_none(void) { return (struct chat_value){ .type = CHAT_NONE }; }
static inline struct chat_value chat_bool(bool b) { return (struct chat_value){ .type = CHAT_BOOL, .i = b }; }
static inline struct chat_value chat_int(int64_t i) { return (struct chat_value){ .type = CHAT_INT, .i = i }; }
static inline struct chat_value chat_undefined(const struct chat_string *what) { return (struct chat_value){ .type = CHAT_UNDEFINED, .s = what }; }

/* ---- string.c ---- */

/* Bytes that grow. */
struct chat_builder {
    char *p;
    bool *mark;      /* NULL as long as all bytes have one origin */
    size_t n, cap;
    bool user;       /* that origin */
    size_t limit;    /* 0: none */
};
bool chat_add(struct chat *c, struct chat_builder *b, const struct chat_string *s);
bool chat_add_text(struct chat *c, struct chat_builder *b, const char *p, size_t n); /* of the template */
bool chat_built(struct chat *c, const struct chat_builder *b, struct chat_value *out);

bool chat_text(struct chat *c, const char *p, size_t n, struct chat_value *out);        /* p must live as long as c */
bool chat_slice(struct chat *c, const struct chat_string *s, size_t from, size_t n, struct chat_value *out);
static inline bool chat_equal_bytes(const char *a, size_t na, const char *b, size_t nb) { return na == nb && (na == 0 || !__builtin_memcmp(a, b, na)); }
bool chat_is(const struct chat_string *s, const char *text);
size_t chat_unit(const char *p, size_t n);             /* bytes of the character at p, n >= 1 */
size_t chat_characters(const char *p, size_t n);
size_t chat_space(const char *p, size_t n);            /* bytes of the white space character at p, 0: none; as Python's str.isspace */
size_t chat_space_before(const char *p, size_t n);     /* of the one that ends n bytes after p */
/* Position of needle at or after `from`, or SIZE_MAX. */
size_t chat_find(const struct chat_string *s, size_t from, const struct chat_string *needle);
/* chars NULL: white space. */
bool chat_strip(struct chat *c, const struct chat_string *s, const struct chat_string *chars, bool left, bool right, struct chat_value *out);
/* separator NULL: runs of white space. max < 0: all. */
bool chat_split(struct chat *c, const struct chat_string *s, const struct chat_string *separator, int64_t max, bool from_right,
                struct chat_value *out);
bool chat_replace(struct chat *c, const struct chat_string *s, const struct chat_string *old, const struct chat_string *by, int64_t max,
                  struct chat_value *out);
enum chat_case { CHAT_UPPER, CHAT_LOWER, CHAT_CAPITALIZE, CHAT_TITLE };
bool chat_recase(struct chat *c, const struct chat_string *s, enum chat_case how, struct chat_value *out);

/* ---- value.c ---- */

const char *chat_type_name(struct chat_value v);
bool chat_undefined_error(struct chat *c, struct chat_value v);
bool chat_truth(struct chat_value v);
bool chat_equal(struct chat *c, struct chat_value a, struct chat_value b, bool *equal);
bool chat_order(struct chat *c, struct chat_value a, struct chat_value b, int *order); /* ints and strings, lists of them */
bool chat_contains(struct chat *c, struct chat_value container, struct chat_value item, bool *found);
bool chat_length(struct chat *c, struct chat_value v, int64_t *n);
bool chat_items(struct chat *c, struct chat_value v, const struct chat_list **items); /* what a loop over v sees */
bool chat_new_list(struct chat *c, size_t n, bool tuple, struct chat_list **list, struct chat_value *out);
bool chat_new_dict(struct chat *c, enum chat_type type, struct chat_value *out);
bool chat_dict_set(struct chat *c, struct chat_dict *d, struct chat_value key, struct chat_value value);
/* *found NULL: not there. */
bool chat_dict_get(struct chat *c, const struct chat_dict *d, struct chat_value key, struct chat_value **found);
bool chat_dict_text(struct chat *c, const struct chat_dict *d, const char *key, size_t n, struct chat_value **found);
bool chat_pair_items(struct chat *c, const struct chat_dict *d, struct chat_value *out); /* list of (key, value) */
/* Sorted in place, stably: by the values, or those of an item's position `by`, >= 0. */
bool chat_sort(struct chat *c, struct chat_list *l, int by, bool ignore_case, bool reverse);

/* ---- write.c, date.c ---- */

bool chat_write(struct chat *c, struct chat_builder *b, struct chat_value v);  /* as {{ v }} */
bool chat_string_of(struct chat *c, struct chat_value v, const struct chat_string **out);
struct chat_json {
    int64_t indent;                /* -1: one line */
    struct chat_string item, key;  /* separators */
};
bool chat_write_json(struct chat *c, struct chat_builder *b, struct chat_value v, const struct chat_json *how);
bool chat_date(struct chat *c, const struct chat_string *format, struct chat_value *out);

/* ---- tokens and nodes ---- */

enum chat_token_kind { T_END, T_DATA, T_PRINT, T_PRINT_END, T_BLOCK, T_BLOCK_END, T_NAME, T_STRING, T_INT, T_FLOAT, T_OP };

#define OP1(a) ((unsigned)(a))
#define OP2(a, b) ((unsigned)(a) | (unsigned)(b) << 8)

struct chat_token {
    enum chat_token_kind kind;
    uint32_t line;
    unsigned op;      /* OP */
    const char *p;    /* DATA, NAME, STRING (unescaped) */
    size_t n;
    int64_t i;        /* INT */
};
/* A T_END token is last. */
bool chat_lex(struct chat *c, const char *text, size_t n, struct chat_token **tokens);

enum chat_node_kind {
    /* expressions */
    N_STRING, N_INT, N_BOOL, N_NONE, N_FLOAT, N_NAME, N_LIST, N_TUPLE, N_DICT, N_PAIR, N_IF_ELSE, N_OR, N_AND, N_NOT, N_COMPARE, N_BINARY, N_REST,
    N_NEGATIVE, N_POSITIVE, N_POSTFIX,
    /* what follows an operand, in N_POSTFIX */
    N_ATTRIBUTE, N_ITEM, N_SLICE, N_CALL, N_FILTER, N_TEST, N_ARGUMENT,
    /* statements */
    N_DATA, N_PRINT, N_IF, N_BRANCH, N_FOR, N_SET, N_SET_BLOCK, N_MACRO, N_FILTER_BLOCK, N_GENERATION, N_BREAK, N_CONTINUE, N_TARGET
};

/* Which fields a kind uses stands where it is parsed. Chains (operands, suffixes, items, statements) are lists by `next`, not deep trees. */
struct chat_node {
    enum chat_node_kind kind;
    uint32_t line;
    unsigned op;              /* an operator, or a flag */
    const struct chat_string *s; /* name or text */
    int64_t i;
    struct chat_node *a, *b, *c, *d, *next;
};

struct chat_parser {
    struct chat *c;
    const struct chat_token *at;
};
struct chat_node *chat_node(struct chat_parser *p, enum chat_node_kind kind); /* NULL: failed */
bool chat_at_op(const struct chat_parser *p, unsigned op);
bool chat_at_name(const struct chat_parser *p, const char *name);
bool chat_skip_op(struct chat_parser *p, unsigned op);
bool chat_skip_name(struct chat_parser *p, const char *name);
bool chat_expect_op(struct chat_parser *p, unsigned op);
bool chat_expect_name(struct chat_parser *p, const struct chat_string **name); /* any name */
bool chat_unexpected(struct chat_parser *p, const char *expected);
/* if_else: "a if b else c" may stand there. A list without brackets is a tuple. */
struct chat_node *chat_parse_tuple(struct chat_parser *p, bool if_else);
struct chat_node *chat_parse_expression(struct chat_parser *p, bool if_else);
bool chat_parse_arguments(struct chat_parser *p, struct chat_node **list); /* behind "(" */
struct chat_node *chat_parse_filter(struct chat_parser *p);                /* behind "|" */
/* All of the template: *list is its statements. */
bool chat_parse(struct chat *c, const struct chat_token *tokens, struct chat_node **list);

/* ---- evaluation ---- */

bool chat_eval(struct chat *c, struct chat_scope *s, const struct chat_node *n, struct chat_value *out);
bool chat_lookup(struct chat *c, const struct chat_scope *s, const struct chat_string *name, struct chat_value *out);
bool chat_assign(struct chat *c, struct chat_scope *s, const struct chat_string *name, struct chat_value v);

/* access.c */
bool chat_attribute(struct chat *c, struct chat_value of, const struct chat_string *name, struct chat_value *out);
bool chat_item(struct chat *c, struct chat_value of, struct chat_value key, struct chat_value *out);
/* from, to, step: NONE where they were left out. */
bool chat_slice_of(struct chat *c, struct chat_value of, const struct chat_value bounds[3], struct chat_value *out);

/* Evaluated arguments: positional ones first. */
struct chat_arguments {
    struct chat_value *v;
    const struct chat_string **names; /* of v[n_positional..n) */
    size_t n, n_positional;
};
bool chat_eval_arguments(struct chat *c, struct chat_scope *s, const struct chat_node *list, struct chat_arguments *out);
/* The argument called name or at position `at`; absent: *out stays. */
bool chat_argument(const struct chat_arguments *a, size_t at, const char *name, struct chat_value *out);
/* The same for one type, else an error that names `what`. */
bool chat_argument_string(struct chat *c, const struct chat_arguments *a, size_t at, const char *name, const char *what, const struct chat_string **out);
bool chat_argument_int(struct chat *c, const struct chat_arguments *a, size_t at, const char *name, const char *what, int64_t *out);
/* At most n positional ones, and named ones of `names` (ends with NULL; "*": any). */
bool chat_check_arguments(struct chat *c, const struct chat_arguments *a, size_t n, const char *const *names, const char *what);
bool chat_call(struct chat *c, struct chat_value f, const struct chat_arguments *a, struct chat_value *out);
bool chat_add_globals(struct chat *c);

typedef bool chat_function(struct chat *c, struct chat_value v, const struct chat_arguments *a, struct chat_value *out);
struct chat_filter_row {
    const char *name;
    chat_function *fn;     /* NULL: known, and not supported */
    unsigned n_positional; /* at most */
    const char *names[4];  /* that arguments can have, NULL at the end */
};
extern const struct chat_filter_row chat_filters[], chat_list_filters[]; /* end with a NULL name */
bool chat_filter(struct chat *c, const struct chat_string *name, struct chat_value v, const struct chat_arguments *a, struct chat_value *out);
bool chat_test_takes_argument(const struct chat_string *name);
bool chat_test(struct chat *c, const struct chat_string *name, struct chat_value v, const struct chat_arguments *a, bool *out);

struct chat_method_row {
    const char *name;
    enum chat_type type;
    chat_function *fn;
    unsigned n_positional;
    const char *names[3];
};
const struct chat_method_row *chat_method_find(enum chat_type type, const struct chat_string *name); /* NULL: none */

enum chat_flow { CHAT_FAILED = -1, CHAT_GO_ON, CHAT_BREAK, CHAT_CONTINUE };
enum chat_flow chat_exec(struct chat *c, struct chat_scope *s, const struct chat_node *list);
/* What the statements write, as a string. */
bool chat_capture(struct chat *c, struct chat_scope *s, const struct chat_node *list, struct chat_value *out);

#endif
