/* test_split.c - models in several files: valid sets, and row 120 of the list of hostile files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/gguf/gguf.h"
#include "tests/support/data.h"
#include "tests/support/hostile.h"

#define N_PARTS 3
#define PATTERN "%s-%05d-of-%05d.gguf"

/* The tiny model as N_PARTS files: all keys and the first tensors in part 1, the rest spread. */
struct set {
    struct gb *part[N_PARTS];
    char name[N_PARTS][64]; /* in test_tmp_dir() */
};

static void set_name(struct set *s, const char *prefix)
{
    for (int i = 0; i < N_PARTS; i++)
        snprintf(s->name[i], sizeof s->name[i], PATTERN, prefix, i + 1, N_PARTS);
}

static struct set make_set(const char *prefix, size_t first_tensors)
{
    struct tiny_model m = tiny_llama();
    struct set s = { .part = { tiny_build(&m), gb_new(), gb_new() } };
    size_t n = s.part[0]->n_tensors;

    for (size_t i = first_tensors; i < n; i++) {
        const struct gb_tensor *t = &s.part[0]->tensors[i];
        gb_add(s.part[1 + (i >= (first_tensors + n) / 2)], t->name, t->type, t->n_dims, t->ne, t->data, t->n_bytes);
    }
    while (s.part[0]->n_tensors > first_tensors)
        gb_remove_tensor(s.part[0], s.part[0]->tensors[s.part[0]->n_tensors - 1].name);
    for (int i = 0; i < N_PARTS; i++) {
        gb_u16(s.part[i], "split.no", (uint16_t)i);
        gb_u16(s.part[i], "split.count", N_PARTS);
        gb_i32(s.part[i], "split.tensors.count", (int32_t)n);
    }
    set_name(&s, prefix);
    return s;
}

/* Writes all parts; the path of the first. */
static const char *write_set(const struct set *s)
{
    static char path[512];
    for (int i = 0; i < N_PARTS; i++)
        gb_write(s->part[i], s->name[i]);
    snprintf(path, sizeof path, "%s/%s", test_tmp_dir(), s->name[0]);
    return path;
}

static void free_set(struct set *s)
{
    for (int i = 0; i < N_PARTS; i++)
        gb_free(s->part[i]);
}

/* A set holds the same tensors as the single file, whatever part they are in. */
static void check_same_tensors(const char *path)
{
    struct tiny_model m = tiny_llama();
    struct prism_gguf *one, *set;
    struct prism_error err = { 0 };
    assert_int_equal(prism_gguf_open(tiny_write(&m, "single.gguf"), (struct prism_log){ 0 }, &one, &err), PRISM_OK);
    assert_int_equal(prism_gguf_open(path, (struct prism_log){ 0 }, &set, &err), PRISM_OK);
    assert_int_equal(set->n_files, N_PARTS);
    assert_int_equal(set->n_tensors, one->n_tensors);
    assert_int_equal(set->tensor_bytes, one->tensor_bytes);
    for (uint64_t i = 0; i < one->n_tensors; i++) {
        const struct prism_gguf_tensor *a = &one->tensors[i], *b = prism_gguf_tensor_find(set, a->name);
        assert_non_null(b);
        assert_ptr_equal(b, &set->tensors[i]); /* file order */
        assert_int_equal(b->n_bytes, a->n_bytes);
        assert_memory_equal(b->data, a->data, a->n_bytes);
    }
    prism_gguf_close(one);
    prism_gguf_close(set);
}

static void test_valid(void **state)
{
    (void)state;
    struct loaded l;
    struct set s = make_set("valid", 7);
    const char *path = write_set(&s);
    check_same_tensors(path);
    hostile_load(&l, path, true, false);
    assert_int_equal(l.status, PRISM_OK);
    struct prism_model_info info;
    prism_model_info(l.model, &info);
    assert_int_equal(info.n_files, N_PARTS);
    assert_int_equal(info.n_tensors, 20);
    assert_string_equal(info.path, path);
    prism_model_free(l.model);
    free_set(&s);
}

/* gguf-split can put all metadata in a first part without tensors; and each part has its own alignment. */
static void test_valid_variants(void **state)
{
    (void)state;
    struct set s = make_set("variant", 0);
    gb_u32(s.part[2], "general.alignment", 256);
    s.part[2]->alignment = 256;
    check_same_tensors(write_set(&s));
    free_set(&s);
}

/* split.count 1 is a single file under any name. */
static void test_count_1(void **state)
{
    (void)state;
    struct tiny_model m = tiny_llama();
    struct loaded l;
    struct gb *g = tiny_build(&m);
    gb_u16(g, "split.no", 0);
    gb_u16(g, "split.count", 1);
    hostile_load(&l, gb_write(g, "one-00001-of-00001.gguf"), false, false);
    assert_int_equal(l.status, PRISM_OK);
    prism_model_free(l.model);
    hostile_load(&l, gb_write(g, "any-name.gguf"), false, false);
    assert_int_equal(l.status, PRISM_OK);
    prism_model_free(l.model);
    gb_free(g);
}

/* ---- row 120 ---- */

static void none(struct set *s) { (void)s; }
static void no_2(struct set *s) { gb_u16(s->part[1], "split.no", 2); }
static void no_repeated(struct set *s) { gb_u16(s->part[2], "split.no", 1); }
static void count_0(struct set *s) { gb_u16(s->part[0], "split.count", 0); }
static void count_1(struct set *s) { gb_u16(s->part[0], "split.count", 1); }
static void count_4(struct set *s) { gb_u16(s->part[0], "split.count", 4); }
static void count_differs(struct set *s) { gb_u16(s->part[1], "split.count", 4); }
static void count_missing(struct set *s) { gb_remove(s->part[1], "split.count"); }
static void sum_21(struct set *s) { gb_i32(s->part[0], "split.tensors.count", 21); }
static void sum_missing(struct set *s) { gb_remove(s->part[0], "split.tensors.count"); }
static void tensor_twice(struct set *s)
{
    gb_add(s->part[2], "output_norm.weight", prism_types[PRISM_F32].id, 1, (uint64_t[]){ 64 }, NULL, 256);
}
static void damaged_2(struct set *s) { s->part[1]->version = 9; }

/* After writing: paths of the parts. */
static void remove_3(const char *const *path) { unlink(path[2]); }
static void copy_2_over_3(const char *const *path)
{
    unlink(path[2]);
    assert_int_equal(link(path[1], path[2]), 0);
}
static void symlink_2_to_1(const char *const *path)
{
    unlink(path[1]);
    assert_int_equal(symlink(path[0], path[1]), 0);
}
static void symlink_3_to_itself(const char *const *path)
{
    unlink(path[2]);
    assert_int_equal(symlink(path[2], path[2]), 0);
}

static const struct split_case {
    const char *what;
    void (*change)(struct set *s);
    void (*after)(const char *const *path);
    int open;          /* part to open, from 0 */
    const char *says;
    int names;         /* part that the message must name, from 0 */
} cases[] = {
    { "part 3 missing", none, remove_3, 0, "file: cannot open: No such file", 2 },
    { "part 2 says it is part 3", no_2, NULL, 0, "key split.no: expected 1, found 2", 1 },
    { "part 3 says it is part 2", no_repeated, NULL, 0, "key split.no: expected 2, found 1", 2 },
    { "part 3 is a copy of part 2", none, copy_2_over_3, 0, "key split.no: expected 2, found 1", 2 },
    { "part 2 is a link to part 1", none, symlink_2_to_1, 0, "key split.no: expected 1, found 0", 1 },
    { "part 3 is a link to itself", none, symlink_3_to_itself, 0, "file: cannot open", 2 },
    { "split.count 0", count_0, NULL, 0, "key split.count: expected 3 (from the file's name), found 0", 0 },
    { "split.count 1", count_1, NULL, 0, "key split.count: expected 3 (from the file's name), found 1", 0 },
    { "split.count 4", count_4, NULL, 0, "name: expected to end in -00001-of-00004.gguf", 0 },
    { "split.count differs", count_differs, NULL, 0, "key split.count: expected 3, found 4", 1 },
    { "split.count missing in part 2", count_missing, NULL, 0, "key split.count: missing", 1 },
    { "split.tensors.count 21", sum_21, NULL, 0, "key split.tensors.count: expected 20 (the sum over all parts), found 21", 0 },
    { "split.tensors.count missing", sum_missing, NULL, 0, "key split.tensors.count: missing", 0 },
    { "opened with part 2", none, NULL, 1, "key split.no: expected 0, found 1: pass the first part: ", 0 },
    { "a tensor in two parts", tensor_twice, NULL, 0, "tensor output_norm.weight: duplicate name in two parts", 0 },
    { "part 2 damaged", damaged_2, NULL, 0, "version: expected 2 or 3, found 9", 1 },
};

static void test_row_120(void **state)
{
    (void)state;
    size_t bad = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char prefix[32], paths[N_PARTS][512];
        const char *path[N_PARTS];
        struct loaded l;
        snprintf(prefix, sizeof prefix, "hostile-120-%zu", i);
        struct set s = make_set(prefix, 7);
        cases[i].change(&s);
        write_set(&s);
        for (int p = 0; p < N_PARTS; p++) {
            snprintf(paths[p], sizeof paths[p], "%s/%s", test_tmp_dir(), s.name[p]);
            path[p] = paths[p];
        }
        if (cases[i].after)
            cases[i].after(path);
        hostile_load(&l, path[cases[i].open], false, false);
        if (!hostile_judge(&l, 'R', cases[i].says, s.name[cases[i].names])) {
            print_message("    row 120: %s\n", cases[i].what);
            bad++;
        }
        prism_model_free(l.model);
        free_set(&s);
    }
    assert_int_equal(bad, 0);
}

static void test_names(void **state)
{
    (void)state;
    struct set s = make_set("name", 7);
    struct loaded l;
    write_set(&s);
    hostile_load(&l, gb_write(s.part[0], "renamed.gguf"), false, false);
    assert_true(hostile_judge(&l, 'R', "name: expected to end in -00001-of-00003.gguf", "renamed.gguf"));
    hostile_load(&l, gb_write(s.part[0], "name-00002-of-00003.gguf"), false, false);
    assert_true(hostile_judge(&l, 'R', "name: expected to end in -00001-of-00003.gguf", "name-00002-of-00003.gguf"));
    hostile_load(&l, gb_write(s.part[1], "renamed.gguf"), false, false);
    assert_true(hostile_judge(&l, 'R', "key split.no: expected 0, found 1: pass the first part", "renamed.gguf"));
    free_set(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid), cmocka_unit_test(test_valid_variants), cmocka_unit_test(test_count_1),
        cmocka_unit_test(test_row_120), cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
