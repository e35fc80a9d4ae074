/* test_hostile.c - damaged containers: rows 1-57 and 94-110 of the list of hostile files (header, pairs, infos, data). Rows 58-93 and
 * 111-119 are in tests/model/test_hostile_model.c, row 120 in test_split.c, random damage in test_fuzz.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/gguf/gguf.h"
#include "tests/support/data.h"
#include "tests/support/hostile.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void put_u64(struct gb_image *im, size_t at, uint64_t v) { memcpy(im->bytes + at, &v, sizeof v); }

/* ---- rows 1-21: header ---- */

static void cut_0(const struct gb *g, struct gb_image *im) { (void)g, im->n = 0; }
static void cut_1(const struct gb *g, struct gb_image *im) { (void)g, im->n = 1; }
static void cut_3(const struct gb *g, struct gb_image *im) { (void)g, im->n = 3; }
static void cut_6(const struct gb *g, struct gb_image *im) { (void)g, im->n = 6; }
static void cut_12(const struct gb *g, struct gb_image *im) { (void)g, im->n = 12; }
static void cut_20(const struct gb *g, struct gb_image *im) { (void)g, im->n = 20; }
static void magic_ggml(struct gb *g) { memcpy(g->magic, "GGML", 4); }
static void magic_ggjt(struct gb *g) { memcpy(g->magic, "ggjt", 4); }
static void magic_zip(struct gb *g) { memcpy(g->magic, "PK\3\4", 4); }
static void magic_gzip(struct gb *g) { memcpy(g->magic, "\x1F\x8B\x08\x00", 4); }
static void magic_html(struct gb *g) { memcpy(g->magic, "<!DO", 4); }
static void magic_swapped(struct gb *g) { memcpy(g->magic, "FUGG", 4); }
static void version_big_endian(struct gb *g) { g->version = 0x03000000; }
static void version_0(struct gb *g) { g->version = 0; }
static void version_1(struct gb *g) { g->version = 1; }
static void version_4(struct gb *g) { g->version = 4; }
static void tensors_2_60(const struct gb *g, struct gb_image *im) { (void)g, put_u64(im, 8, UINT64_C(1) << 60); }
static void tensors_minus_1(const struct gb *g, struct gb_image *im) { (void)g, put_u64(im, 8, UINT64_MAX); }
static void tensors_0(const struct gb *g, struct gb_image *im) { (void)g, put_u64(im, 8, 0); }
static void tensors_more(struct gb *g) { g->tensors_shift = 1; }
static void tensors_less(struct gb *g) { g->tensors_shift = UINT64_MAX; }
static void pairs_2_50(const struct gb *g, struct gb_image *im) { (void)g, put_u64(im, 16, UINT64_C(1) << 50); }
static void pairs_minus_1(const struct gb *g, struct gb_image *im) { (void)g, put_u64(im, 16, UINT64_MAX); }
static void pairs_0(const struct gb *g, struct gb_image *im) { (void)g, put_u64(im, 16, 0); }
static void pairs_more(struct gb *g) { g->pairs_shift = 1; }
static void pairs_less(struct gb *g) { g->pairs_shift = UINT64_MAX; }
static void no_pairs(struct gb *g) { while (g->n_pairs) gb_remove(g, g->pairs[0].key); }

/* ---- rows 22-35: cuts. The last pair is zzz.note, a string; the one before it general.file_type. ---- */

static void add_note(struct gb *g) { gb_str(g, "zzz.note", "a string of some length"); }
static size_t note(const struct gb *g) { return gb_pair_index(g, "zzz.note"); }
static void cut_key_length(const struct gb *g, struct gb_image *im) { im->n = im->pair_at[note(g)] + 4; }
static void cut_key(const struct gb *g, struct gb_image *im) { im->n = im->pair_at[note(g)] + 8 + 3; }
static void cut_value_type(const struct gb *g, struct gb_image *im) { im->n = im->pair_type[note(g)] + 2; }
static void cut_scalar(const struct gb *g, struct gb_image *im) { im->n = im->pair_value[note(g) - 1] + 2; }
static void cut_string(const struct gb *g, struct gb_image *im) { im->n = im->pair_end[note(g)] - 5; }
static void cut_tokens(const struct gb *g, struct gb_image *im) { im->n = im->pair_end[gb_pair_index(g, "tokenizer.ggml.tokens")] - 40; }
static void cut_infos(const struct gb *g, struct gb_image *im) { (void)g, im->n = im->info_at[0]; }
static void cut_name(const struct gb *g, struct gb_image *im) { (void)g, im->n = im->info_at[5] + 8 + 3; }
static void cut_dims(const struct gb *g, struct gb_image *im) { (void)g, im->n = im->info_dims[5] + 9; }
static void cut_type(const struct gb *g, struct gb_image *im) { (void)g, im->n = im->info_type[5] + 1; }
static void cut_offset(const struct gb *g, struct gb_image *im) { (void)g, im->n = im->info_offset[5] + 7; }
static void cut_padding(const struct gb *g, struct gb_image *im)
{
    (void)g;
    assert_true(im->data_start - im->infos_end >= 2);
    im->n = im->infos_end + 1;
}
static void cut_data(const struct gb *g, struct gb_image *im) { (void)g, im->n = im->data_start; }
static void cut_last(const struct gb *g, struct gb_image *im) { im->n = im->data_end[g->n_tensors - 1] - 1; }
static void cut_first(const struct gb *g, struct gb_image *im) { (void)g, im->n = im->data_at[0] + 10; }
static void trailing(struct gb *g) { g->trailing = 40; }

/* ---- rows 36-57: pairs ---- */

static const uint32_t one = 1;
static void key_length_2_40(struct gb *g) { gb_append(g, "zzz", 3, PRISM_GV_U32, &one, 4)->key_count = UINT64_C(1) << 40; }
static void key_empty(struct gb *g) { gb_append(g, "", 0, PRISM_GV_U32, &one, 4); }
static void key_not_utf8(struct gb *g) { gb_append(g, "\xFF\xFEkey", 5, PRISM_GV_U32, &one, 4); }
static void key_zero(struct gb *g) { gb_append(g, "zz\0zz", 5, PRISM_GV_U32, &one, 4); }
static void key_long(struct gb *g)
{
    char *key = calloc(70000, 1);
    assert_non_null(key);
    gb_append(g, memset(key, 'k', 70000), 70000, PRISM_GV_U32, &one, 4);
    free(key);
}
static void twice_equal(struct gb *g)
{
    struct gb_pair p = *gb_pair(g, "llama.block_count");
    gb_append(g, p.key, p.key_len, p.type, p.value, p.value_len);
}
static void twice_different(struct gb *g) { gb_append(g, "llama.block_count", 17, PRISM_GV_U32, &one, 4); }
static void nested(struct gb *g)
{
    struct { uint32_t elem; uint64_t count; } __attribute__((packed)) inner = { PRISM_GV_U8, 0 };
    gb_array(g, "zzz.nested", PRISM_GV_ARR, 1, &inner, sizeof inner);
}
static void elem_99(struct gb *g) { gb_array(g, "zzz.array", 99, 1, &one, 4); }
static void count_2_40(struct gb *g) { gb_array(g, "zzz.array", PRISM_GV_U8, UINT64_C(1) << 40, &one, 4); }
static void count_overflow(struct gb *g) { gb_array(g, "zzz.array", PRISM_GV_U64, (UINT64_C(1) << 61) + 1, &one, 4); }
static void string_2_63(struct gb *g)
{
    uint64_t n = UINT64_C(1) << 63;
    gb_set(g, "zzz.string", PRISM_GV_STR, &n, sizeof n);
}

static const struct hostile_case header_and_pairs[] = {
    { 1, "empty file", 'R', "magic: expected 4 bytes \"GGUF\", found 0 bytes", .patch = cut_0 },
    { 2, "1 byte", 'R', "magic: expected 4 bytes \"GGUF\", found 1", .patch = cut_1 },
    { 2, "3 bytes", 'R', "magic: expected 4 bytes \"GGUF\", found 3", .patch = cut_3 },
    { 3, "GGML", 'R', "magic: expected \"GGUF\", found \"GGML\"", .change = magic_ggml },
    { 3, "ggjt", 'R', "magic: expected \"GGUF\", found \"ggjt\"", .change = magic_ggjt },
    { 3, "zip", 'R', "magic: expected \"GGUF\", found \"PK\\x03\\x04\"", .change = magic_zip },
    { 3, "gzip", 'R', "magic: expected \"GGUF\", found \"\\x1F\\x8B\\x08\\x00\"", .change = magic_gzip },
    { 3, "an HTML page", 'R', "magic: expected \"GGUF\", found \"<!DO\"", .change = magic_html },
    { 4, "swapped magic", 'R', "magic: expected \"GGUF\", found \"FUGG\"", .change = magic_swapped },
    { 5, "big-endian", 'R', "version: big-endian file, only little-endian is supported (found 0x03000000)", .change = version_big_endian },
    { 6, "version 0", 'R', "version: expected 2 or 3, found 0", .change = version_0 },
    { 7, "version 1", 'R', "version: expected 2 or 3, found 1 (old format)", .change = version_1 },
    { 8, "version 4", 'R', "version: expected 2 or 3, found 4", .change = version_4 },
    { 9, "cut inside version", 'R', "header: expected 24 bytes, found 6", .patch = cut_6 },
    { 10, "cut inside n_tensors", 'R', "header: expected 24 bytes, found 12", .patch = cut_12 },
    { 11, "cut inside n_kv", 'R', "header: expected 24 bytes, found 20", .patch = cut_20 },
    { 12, "n_tensors 2^60", 'R', "header: tensor count", .patch = tensors_2_60 },
    { 13, "n_tensors -1", 'R', "header: tensor count", .patch = tensors_minus_1 },
    { 14, "n_tensors one too large", 'R', "tensor 20: name", .change = tensors_more },
    { 15, "n_tensors one too small", 'R', "tensor blk.1.ffn_down.weight: missing", .change = tensors_less },
    { 16, "n_kv 2^50", 'R', "header: pair count", .patch = pairs_2_50 },
    { 17, "n_kv -1", 'R', "header: pair count", .patch = pairs_minus_1 },
    { 18, "n_kv one too large", 'R', "tensor 0: name length", .change = pairs_more },
    { 19, "n_kv one too small", 'R', "tensor general.file_type: ", .change = pairs_less },
    { 20, "n_kv 0, pairs read as infos", 'R', "tensor general.architecture: dimensions", .patch = pairs_0 },
    { 20, "no pairs", 'R', "key general.architecture: missing", .change = no_pairs },
    { 21, "n_tensors 0", 'R', "tensor token_embd.weight: missing", .patch = tensors_0 },
    { 22, "cut inside a key length", 'R', "key 21: length", .change = add_note, .patch = cut_key_length },
    { 23, "cut inside a key", 'R', "key 21: expected 8 bytes, file has 3", .change = add_note, .patch = cut_key },
    { 24, "cut inside a value type", 'R', "key zzz.note: value type", .change = add_note, .patch = cut_value_type },
    { 25, "cut inside a scalar", 'R', "key general.file_type: value: expected 4 bytes", .change = add_note, .patch = cut_scalar },
    { 26, "cut inside a string", 'R', "key zzz.note: value: string length: expected at most 18", .change = add_note, .patch = cut_string },
    { 27, "cut inside an array", 'R', "key tokenizer.ggml.tokens: element", .patch = cut_tokens },
    { 28, "cut after the last pair", 'R', "tensor 0: name", .patch = cut_infos },
    { 29, "cut inside a tensor name", 'R', "tensor 5: name", .patch = cut_name },
    { 30, "cut inside dims", 'R', "tensor blk.0.attn_v.weight: description: file ended", .patch = cut_dims },
    { 30, "cut inside type", 'R', "tensor blk.0.attn_v.weight: description: file ended", .patch = cut_type },
    { 30, "cut inside offset", 'R', "tensor blk.0.attn_v.weight: description: file ended", .patch = cut_offset },
    { 31, "cut inside the padding", 'R', "data: expected to start at", .patch = cut_padding },
    { 32, "cut at data start", 'R', "tensor token_embd.weight: data", .patch = cut_data },
    { 33, "cut before the last byte", 'R', "tensor blk.1.ffn_down.weight: data", .patch = cut_last },
    { 34, "cut inside the first tensor", 'R', "tensor token_embd.weight: data", .patch = cut_first },
    { 35, "trailing bytes", 'W', "40 trailing bytes ignored", .change = trailing },
    { 36, "key length 2^40", 'R', "key 21: length: expected at most 65535, found 1099511627776", .change = key_length_2_40 },
    { 37, "empty key", 'R', "key 21: expected a name, found an empty key", .change = key_empty },
    { 38, "key not UTF-8", 'W', "key 21: not valid UTF-8: \\xFF\\xFEkey", .change = key_not_utf8 },
    { 39, "key with a zero byte", 'R', "contains a zero byte", .change = key_zero },
    { 40, "key of 70000 bytes", 'R', "key 21: length: expected at most 65535, found 70000", .change = key_long },
    { 41, "key twice, equal", 'R', "key llama.block_count: duplicate (pairs 2 and 21)", .change = twice_equal },
    { 42, "key twice, different", 'R', "key llama.block_count: duplicate (pairs 2 and 21)", .change = twice_different },
    { 43, "value type 13", 'R', "key zzz: value type: expected 0..12, found 13", .set = { "zzz", .type = 13 } },
    { 43, "value type 99", 'R', "key zzz: value type: expected 0..12, found 99", .set = { "zzz", .type = 99 } },
    { 44, "value type -1", 'R', "key zzz: value type: expected 0..12, found 4294967295", .set = { "zzz", .type = UINT32_MAX } },
    { 45, "array of arrays", 'R', "key zzz.nested: array element type", .change = nested },
    { 46, "array element type 99", 'R', "key zzz.array: array element type", .change = elem_99 },
    { 47, "array count 2^40", 'R', "key zzz.array: array count", .change = count_2_40 },
    { 48, "array bytes overflow", 'R', "key zzz.array: array count", .change = count_overflow },
    { 49, "string length 2^63", 'R', "key zzz.string: value: string length", .change = string_2_63 },
    { 51, "bool 2", 'W', "key zzz.flag: bool: 2 read as true", .set = { "zzz.flag", .type = PRISM_GV_BOOL, .u = 2 } },
    { 52, "name not UTF-8", 'W', "key general.name: not valid UTF-8, shown as a\\xFF", .set = { "general.name", .s = "a\xFF" } },
    { 53, "alignment 0", 'R', "key general.alignment: expected a power of two", .set = { "general.alignment", .type = PRISM_GV_U32, .u = 0 } },
    { 54, "alignment 3", 'R', "key general.alignment: expected a power of two", .set = { "general.alignment", .type = PRISM_GV_U32, .u = 3 } },
    { 54, "alignment 48", 'R', "key general.alignment: expected a power of two", .set = { "general.alignment", .type = PRISM_GV_U32, .u = 48 } },
    { 55, "alignment 2^31", 'R', "key general.alignment: expected a power of two, 1..65536, found 2147483648",
      .set = { "general.alignment", .type = PRISM_GV_U32, .u = UINT64_C(1) << 31 } },
    { 56, "alignment a string", 'R', "key general.alignment: type: expected u32, found str", .set = { "general.alignment", .s = "32" } },
    { 56, "alignment u64", 'R', "key general.alignment: type: expected u32, found u64", .set = { "general.alignment", .type = PRISM_GV_U64, .u = 32 } },
    { 57, "alignment 64, written with 32", 'R', "tensor output_norm.weight: offset: expected a multiple of 64",
      .set = { "general.alignment", .type = PRISM_GV_U32, .u = 64 } },
};

/* ---- rows 94-110: infos ---- */

static struct gb_tensor *last(struct gb *g) { return &g->tensors[g->n_tensors - 1]; }

static void rename_to(struct gb_tensor *t, const char *name)
{
    free(t->name);
    t->name = strdup(name);
    t->name_len = strlen(name);
}

static void resize(struct gb_tensor *t, uint32_t type, uint64_t ne0, uint64_t ne1, size_t n_bytes)
{
    free(t->data);
    t->data = calloc(n_bytes, 1);
    t->type = type;
    t->ne[0] = ne0;
    t->ne[1] = ne1;
    t->n_bytes = n_bytes;
}

static void name_empty(struct gb *g) { rename_to(&g->tensors[5], ""); }
static void name_64(struct gb *g) { rename_to(&g->tensors[5], "0123456789012345678901234567890123456789012345678901234567890123"); }
static void name_70(struct gb *g) { rename_to(&g->tensors[5], "0123456789012345678901234567890123456789012345678901234567890123456789"); }
static void name_twice(struct gb *g) { rename_to(&g->tensors[5], "blk.0.attn_q.weight"); }
static void dims_0(struct gb *g) { last(g)->n_dims = 0; }
static void dims_5(struct gb *g) { last(g)->n_dims = 5; }
static void dims_2_31(struct gb *g) { last(g)->n_dims = UINT32_C(1) << 31; }
static void ne_0(struct gb *g) { last(g)->ne[1] = 0; }
static void ne_negative(struct gb *g) { last(g)->ne[1] = UINT64_MAX; }
static void ne_2_63(struct gb *g) { last(g)->ne[0] = UINT64_C(1) << 63; }
static void elements_overflow(struct gb *g) { last(g)->ne[0] = last(g)->ne[1] = UINT64_C(1) << 40; }
static void bytes_overflow(struct gb *g) { last(g)->type = 0, last(g)->ne[0] = UINT64_C(1) << 62, last(g)->ne[1] = 1; }
static void set_type(struct gb *g, uint32_t type) { last(g)->type = type; }
static void type_4(struct gb *g) { set_type(g, 4); }
static void type_5(struct gb *g) { set_type(g, 5); }
static void type_31(struct gb *g) { set_type(g, 31); }
static void type_32(struct gb *g) { set_type(g, 32); }
static void type_33(struct gb *g) { set_type(g, 33); }
static void type_36(struct gb *g) { set_type(g, 36); }
static void type_37(struct gb *g) { set_type(g, 37); }
static void type_38(struct gb *g) { set_type(g, 38); }
static void type_43(struct gb *g) { set_type(g, 43); }
static void type_200(struct gb *g) { set_type(g, 200); }
static void type_minus_1(struct gb *g) { set_type(g, UINT32_MAX); }
static void type_q8_1(struct gb *g) { resize(last(g), 9, 256, 64, 64 * 8 * 36); }
static void type_q8_k(struct gb *g) { resize(last(g), 15, 256, 64, 64 * 292); }
static void type_i32(struct gb *g) { resize(last(g), 26, 128, 64, 128 * 64 * 4); }
static void row_33(struct gb *g) { last(g)->ne[0] = 33; }
static void shift_1(struct gb *g) { g->tensors[5].shift = 1; }
static void overlap(struct gb *g) { g->tensors[5].shift = (uint64_t)-32; }
static void gap(struct gb *g) { g->tensors[5].shift = 32; }
static void beyond(struct gb *g) { g->tensors[5].shift = UINT64_C(1) << 30; }
static void near_2_64(struct gb *g) { g->tensors[0].shift = (uint64_t)-64; }

static const struct hostile_case infos[] = {
    { 94, "empty name", 'R', "tensor 5: name: expected 1..63 bytes, found an empty name", .change = name_empty },
    { 95, "name of 64 bytes", 'R', "tensor 5: name length: expected at most 63, found 64", .change = name_64 },
    { 95, "name of 70 bytes", 'R', "tensor 5: name length: expected at most 63, found 70", .change = name_70 },
    { 96, "name twice", 'R', "tensor blk.0.attn_q.weight: duplicate name (infos 3 and 5)", .change = name_twice },
    { 97, "n_dims 0", 'R', "tensor blk.1.ffn_down.weight: dimensions: expected 1..4, found 0", .change = dims_0 },
    { 98, "n_dims 5", 'R', "tensor blk.1.ffn_down.weight: dimensions: expected 1..4, found 5", .change = dims_5 },
    { 98, "n_dims 2^31", 'R', "tensor blk.1.ffn_down.weight: dimensions: expected 1..4, found 2147483648", .change = dims_2_31 },
    { 99, "dimension 0", 'R', "tensor blk.1.ffn_down.weight: dimension 1", .change = ne_0 },
    { 100, "dimension -1", 'R', "tensor blk.1.ffn_down.weight: dimension 1", .change = ne_negative },
    { 100, "dimension 2^63", 'R', "tensor blk.1.ffn_down.weight: dimension 0", .change = ne_2_63 },
    { 101, "element count 2^80", 'R', "tensor blk.1.ffn_down.weight: element count too large", .change = elements_overflow },
    { 102, "byte size 2^64", 'R', "tensor blk.1.ffn_down.weight: byte size too large", .change = bytes_overflow },
    { 103, "type 4", 'R', "tensor blk.1.ffn_down.weight: type: 4 (Q4_2) was removed", .change = type_4 },
    { 103, "type 5", 'R', "tensor blk.1.ffn_down.weight: type: 5 (Q4_3) was removed", .change = type_5 },
    { 103, "type 31", 'R', "tensor blk.1.ffn_down.weight: type: 31 (Q4_0_4_4) was removed", .change = type_31 },
    { 103, "type 32", 'R', "tensor blk.1.ffn_down.weight: type: 32 (Q4_0_4_8) was removed", .change = type_32 },
    { 103, "type 33", 'R', "tensor blk.1.ffn_down.weight: type: 33 (Q4_0_8_8) was removed", .change = type_33 },
    { 103, "type 36", 'R', "tensor blk.1.ffn_down.weight: type: 36 (IQ4_NL_4_4) was removed", .change = type_36 },
    { 103, "type 37", 'R', "tensor blk.1.ffn_down.weight: type: 37 (IQ4_NL_4_8) was removed", .change = type_37 },
    { 103, "type 38", 'R', "tensor blk.1.ffn_down.weight: type: 38 (IQ4_NL_8_8) was removed", .change = type_38 },
    { 104, "type 43", 'R', "tensor blk.1.ffn_down.weight: type: expected a known number, found 43", .change = type_43 },
    { 104, "type 200", 'R', "tensor blk.1.ffn_down.weight: type: expected a known number, found 200", .change = type_200 },
    { 104, "type -1", 'R', "tensor blk.1.ffn_down.weight: type: expected a known number, found 4294967295", .change = type_minus_1 },
    { 105, "Q8_1", 'R', "tensor blk.1.ffn_down.weight: type Q8_1 unsupported; supported: F32", .change = type_q8_1 },
    { 105, "Q8_K", 'R', "tensor blk.1.ffn_down.weight: type Q8_K unsupported; supported: F32", .change = type_q8_k },
    { 105, "I32", 'R', "tensor blk.1.ffn_down.weight: type I32 unsupported; supported: F32", .change = type_i32 },
    { 106, "row of 33", 'R', "tensor blk.1.ffn_down.weight: row length: expected a multiple of 32 (block size of Q8_0), found 33", .change = row_33 },
    { 107, "offset + 1", 'R', "tensor blk.0.attn_v.weight: offset: expected a multiple of 32", .change = shift_1 },
    { 108, "overlap", 'R', "tensor blk.0.attn_v.weight: offset: expected", .change = overlap },
    { 109, "gap", 'R', "tensor blk.0.attn_v.weight: offset: expected", .change = gap },
    { 110, "offset beyond the end", 'R', "tensor blk.0.attn_v.weight: data: expected", .change = beyond },
    { 110, "offset near 2^64", 'R', "tensor token_embd.weight: data: expected", .change = near_2_64 },
};

static void test_header_and_pairs(void **state)
{
    (void)state;
    hostile_run(header_and_pairs, COUNT(header_and_pairs));
}

static void test_infos(void **state)
{
    (void)state;
    hostile_run(infos, COUNT(infos));
}

/* Row 50: the bytes are there, so only the limit refuses. A hole in the file stands for them. */
static void test_long_string(void **state)
{
    (void)state;
    struct gb *g = gb_new();
    uint64_t n = (UINT64_C(1) << 30) + 1;
    struct loaded l;
    gb_str(g, "general.architecture", "llama");
    gb_set(g, "general.name", PRISM_GV_STR, &n, sizeof n);
    const char *path = gb_write(g, "hostile-050.gguf");
    gb_free(g);
    if (truncate(path, INT64_C(3) << 29) != 0) {
        print_message("skipped: the file system refuses a sparse file of 1.5 GiB\n");
        skip();
    }
    hostile_load(&l, path, false, false);
    assert_true(hostile_judge(&l, 'R', "key general.name: value: string length: expected at most 1073741824", "hostile-050.gguf"));
    unlink(path);
}

/* The bases themselves are sound: every refusal above comes from the damage. */
static void test_bases(void **state)
{
    (void)state;
    struct loaded l;
    struct tiny_model models[] = { tiny_llama(), tiny_qwen3(), tiny_qwen2(), tiny_llama() };
    models[3].vocab = "llama";
    for (size_t i = 0; i < COUNT(models); i++) {
        hostile_load(&l, tiny_write(&models[i], "base.gguf"), true, false);
        assert_string_equal(l.err.text, "");
        assert_string_equal(l.log, "");
        prism_model_free(l.model);
    }
}

static void test_not_a_file(void **state)
{
    (void)state;
    struct loaded l;
    hostile_load(&l, test_tmp_dir(), false, false);
    assert_true(hostile_judge(&l, 'R', "file: expected a regular file, found a directory", test_tmp_dir()));
    assert_int_equal(l.status, PRISM_E_IO);
    hostile_load(&l, "/dev/zero", false, false);
    assert_true(hostile_judge(&l, 'R', "file: expected a regular file, found a character device", "/dev/zero"));
    hostile_load(&l, "no/such/model.gguf", false, false);
    assert_true(hostile_judge(&l, 'R', "file: cannot open: No such file or directory", "no/such/model.gguf"));
    assert_int_equal(l.status, PRISM_E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bases),      cmocka_unit_test(test_header_and_pairs), cmocka_unit_test(test_infos),
        cmocka_unit_test(test_long_string), cmocka_unit_test(test_not_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
