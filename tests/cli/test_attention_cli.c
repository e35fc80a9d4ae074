/* The flags that choose attention, as a user meets them: what each refuses and accepts, what --stats and --json say, and the picture of
 * --attn-map. What selectors choose is tested in tests/attention. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <png.h>

#include "tests/support/data.h"
#include "tests/support/tool_check.h"

static const char model[] = "models/gutenberg-llama-16m-q8_0.gguf"; /* 8 layers of 6 heads of 64 dims, all rotated */
enum { N_LAYER = 8, N_HEAD = 6 };

/* One run of prism-run with a prompt file of about 2400 tokens, greedy, one thread: two are slow where others compute too. */
#define RUN_PROMPT(child, ...) \
    child_run(child, \
              (const char *const[]){ "prism-run", "-m", model, "-f", prompt_path(), "--temp", "0", "-t", "1", __VA_ARGS__, NULL }, "", 0)

static const char *prompt_path(void)
{
    static char path[512];
    enum { N_BYTES = 9000 }; /* more than 64 blocks of 32 tokens: a row of the mask takes two words */
    size_t len;

    if (*path)
        return path;
    snprintf(path, sizeof path, "%s/prompt.txt", test_tmp_dir());
    char *text = test_read_file("models/persuasion.txt", &len);
    FILE *f = fopen(path, "w");
    assert_true(len > N_BYTES);
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, N_BYTES, f), N_BYTES);
    fclose(f);
    free(text);
    return path;
}

/* ---- flags ---------------------------------------------------------------------------------------------------------- */

/* Every flag with values that are refused and one that works with `selector`. */
static const struct flag_case {
    const char *flag, *selector, *good;
    struct {
        const char *value, *message;
    } bad[6];
} flag_cases[] = {
    { "--attn", "prism", "meanpool",
      { { "zzz", "--attn zzz: expected one of: auto dense prism prism-rows meanpool streaming vertical-slash flexprefill xattention\n" },
        { "", "--attn : expected one of: auto dense prism" }, { "Prism", "expected one of" } } },
    { "--prism-block", "prism", "128",
      { { "48", "expected 32, 64, 128 or 256, found 48\n" }, { "16", "--prism-block 16: expected a whole number from 32 to 256\n" },
        { "512", "--prism-block 512: expected" }, { "64k", "--prism-block 64k: expected" } } },
    { "--prism-p", "prism", "1",
      { { "2", "--prism-p 2: expected a number from 1e-06 to 1\n" }, { "nan", "--prism-p nan: expected" }, { "0", "--prism-p 0: expected" },
        { "-0.5", "--prism-p -0.5: expected" }, { "inf", "--prism-p inf: expected" }, { "0.9x", "--prism-p 0.9x: expected" } } },
    { "--prism-p-high", "prism", "0.5", { { "1.0001", "--prism-p-high 1.0001: expected" }, { "0", "--prism-p-high 0: expected" } } },
    { "--prism-p-low", "prism", "0.5", { { "1.0001", "--prism-p-low 1.0001: expected" }, { "nan", "--prism-p-low nan: expected" } } },
    { "--prism-high-dim", "prism", "16",
      { { "3", "high band: expected an even number of dims, 2..64, found 3\n" }, { "66", "found 66" }, { "0", "--prism-high-dim 0: expected" } } },
    { "--prism-low-dim", "prism", "16",
      { { "3", "low band: expected an even number of dims, 2..64, found 3\n" }, { "66", "found 66" }, { "1", "--prism-low-dim 1: expected" } } },
    { "--prism-bands", "prism", "rule", { { "foo", "--prism-bands foo: expected one of: default rule\n" }, { "", "--prism-bands : expected" } } },
    { "--prism-energy", "prism", "causal", { { "foo", "--prism-energy foo: expected one of: global causal\n" } } },
    { "--prism-dense-layers", "prism", "0,3-4",
      { { "x", "--prism-dense-layers x: expected numbers and ranges of 0..511, as in 0,1,5-7\n" }, { "3-1", "3-1: expected" },
        { "512", "512: expected" }, { "1,,2", "1,,2: expected" }, { "-1", "-1: expected" }, { "1-", "1-: expected" } } },
    { "--prism-dense-tail", "prism", "100",
      { { "-1", "--prism-dense-tail -1: expected a whole number from 0" }, { "x", "--prism-dense-tail x: expected" } } },
    { "--prism-min-tokens", "prism", "100", { { "0", "--prism-min-tokens 0: expected" }, { "1e3", "--prism-min-tokens 1e3: expected" } } },
    { "--stream-sink", "streaming", "64", { { "0", "--stream-sink 0: expected" }, { "x", "--stream-sink x: expected" } } },
    { "--stream-window", "streaming", "256", { { "0", "--stream-window 0: expected" }, { "-64", "--stream-window -64: expected" } } },
    { "--vs-vertical", "vertical-slash", "100", { { "0", "--vs-vertical 0: expected" }, { "x", "--vs-vertical x: expected" } } },
    { "--vs-slash", "vertical-slash", "100", { { "-5", "--vs-slash -5: expected" }, { "99999999999", "--vs-slash 99999999999: expected" } } },
    { "--flex-gamma", "flexprefill", "0.8", { { "2", "--flex-gamma 2: expected" }, { "nan", "--flex-gamma nan: expected" } } },
    { "--flex-tau", "flexprefill", "0.3", { { "0", "--flex-tau 0: expected" }, { "1.5", "--flex-tau 1.5: expected" } } },
    { "--flex-min-budget", "flexprefill", "512", { { "-1", "--flex-min-budget -1: expected" } } },
    { "--xattn-stride", "xattention", "16",
      { { "3", "stride: expected a divisor of the block 64, found 3\n" }, { "1", "--xattn-stride 1: expected" } } },
    { "--prism-t", "prism-rows", "0.2", { { "1.5", "--prism-t 1.5: expected" }, { "0", "--prism-t 0: expected" } } },
    { "--xattn-threshold", "xattention", "0.8", { { "1.5", "--xattn-threshold 1.5: expected" }, { "0", "--xattn-threshold 0: expected" } } },
};

enum { N_FLAG_CASES = sizeof flag_cases / sizeof *flag_cases };

static void bad_values(void **state)
{
    struct child c;

    (void)state;
    for (size_t i = 0; i < N_FLAG_CASES; i++) {
        const struct flag_case *f = &flag_cases[i];
        for (size_t k = 0; k < 6 && f->bad[k].value; k++) {
            RUN_PROMPT(&c, "-n", "1", "--attn", f->selector, f->flag, f->bad[k].value);
            assert_refused(&c, f->bad[k].message);
            child_free(&c);
        }
    }
}

static void good_values(void **state)
{
    struct child c;

    (void)state;
    for (size_t i = 0; i < N_FLAG_CASES; i++) {
        const struct flag_case *f = &flag_cases[i];
        RUN_PROMPT(&c, "-n", "1", "--stats", "--attn", f->selector, f->flag, f->good);
        assert_worked(&c);
        if (!strstr(c.err, "\nattention       "))
            fail_msg("%s %s: no table of --stats:\n%s", f->flag, f->good, c.err);
        child_free(&c);
    }
}

/* --help lists exactly the flags above under the heading of attention. */
static void every_flag_has_a_case(void **state)
{
    struct child c;
    size_t n = 0;

    (void)state;
    RUN_PROMPT(&c, "--help");
    assert_worked(&c);
    char *section = strstr(c.out, "Attention while prefilling");
    assert_non_null(section);
    char *end = strstr(section, "\n\n");
    assert_non_null(end);
    *end = '\0';
    for (char *p = section; (p = strstr(p, "\n  --")); n++) {
        char name[64];
        assert_int_equal(sscanf(p, "\n %63s", name), 1);
        p += 5;
        bool known = false;
        for (size_t i = 0; i < N_FLAG_CASES; i++)
            known |= !strcmp(flag_cases[i].flag, name);
        if (!known)
            fail_msg("%s has no case in this test", name);
    }
    assert_int_equal(n, N_FLAG_CASES);
    child_free(&c);
}

/* ---- reports -------------------------------------------------------------------------------------------------------- */

static double number_after(const char *text, const char *what)
{
    const char *at = strstr(text, what);

    assert_non_null(at);
    return strtod(at + strlen(what), NULL);
}

static void stats_table(void **state)
{
    struct child c;
    char row[32];

    (void)state;
    RUN_PROMPT(&c, "-n", "1", "--attn", "prism", "--stats", "--prism-dense-layers", "2");
    assert_worked(&c);
    char *table = strstr(c.err, "attention       prism, blocks of 64 tokens, density ");
    assert_non_null(table);
    double density = number_after(table, "density ");
    assert_true(density > 0 && density < 1);
    for (int l = 0; l < N_LAYER; l++) { /* layer 2 was asked for; of the last layer only the last row is computed */
        bool dense = l == 2 || l == N_LAYER - 1;
        snprintf(row, sizeof row, dense ? "\n%5d   dense\n" : "\n%5d    0.", l);
        assert_non_null(strstr(table, row));
    }
    child_free(&c);
    RUN_PROMPT(&c, "-n", "1", "--attn", "dense", "--stats");
    assert_worked(&c);
    assert_null(strstr(c.err, "attention  "));
    child_free(&c);
}

static void json_attention(void **state)
{
    struct child c;
    size_t n_heads = 0;

    (void)state;
    RUN_PROMPT(&c, "-n", "1", "--attn", "prism", "--json");
    assert_worked(&c);
    char *member = strstr(c.out, "\"attention\": {");
    assert_non_null(member);
    assert_int_equal(strncmp(strstr(member, "\"selector\": "), "\"selector\": \"prism\",", 20), 0);
    assert_true(number_after(member, "\"block\": ") == 64);
    double density = number_after(member, "\"density\": ");
    assert_true(density > 0 && density < 1);
    assert_true(number_after(member, "\"select_ms\": ") > 0);
    char *plan = strstr(member, "\"plan\": {");
    assert_non_null(plan);
    *plan = '\0';
    for (char *p = member; (p = strstr(p, "\"heads\": [")); p++)
        n_heads++;
    assert_int_equal(n_heads, N_LAYER);
    child_free(&c);
    RUN_PROMPT(&c, "-n", "1", "--attn", "dense", "--json");
    assert_worked(&c);
    assert_non_null(strstr(c.out, "\"selector\": \"dense\","));
    child_free(&c);
}

static void short_prompts_are_dense(void **state)
{
    struct child automatic, dense, few;

    (void)state;
    RUN_PROMPT(&automatic, "-n", "12");
    RUN_PROMPT(&dense, "-n", "12", "--attn", "dense");
    RUN_PROMPT(&few, "-n", "12", "--attn", "prism", "--prism-min-tokens", "4000");
    assert_worked(&automatic);
    assert_worked(&dense);
    assert_worked(&few);
    assert_true(dense.n_out > 12);
    assert_string_equal(automatic.out, dense.out);
    assert_string_equal(few.out, dense.out);
    child_free(&automatic);
    child_free(&dense);
    child_free(&few);
}

/* ---- the picture ---------------------------------------------------------------------------------------------------- */

static const char *map_path(void)
{
    static char path[512];

    snprintf(path, sizeof path, "%s/map.png", test_tmp_dir());
    return path;
}

static png_bytep read_picture(png_image *image)
{
    *image = (png_image){ .version = PNG_IMAGE_VERSION };
    if (!png_image_begin_read_from_file(image, map_path()))
        fail_msg("%s: %s", map_path(), image->message);
    image->format = PNG_FORMAT_RGB;
    png_bytep pixels = malloc(PNG_IMAGE_SIZE(*image));
    assert_non_null(pixels);
    if (!png_image_finish_read(image, NULL, pixels, 0, NULL))
        fail_msg("%s: %s", map_path(), image->message);
    return pixels;
}

static size_t count_color(const png_image *image, const png_byte *pixels, const png_byte color[3])
{
    size_t n = 0;

    for (size_t i = 0; i < (size_t)image->width * image->height; i++)
        n += memcmp(pixels + 3 * i, color, 3) == 0;
    return n;
}

static const png_byte chosen[3] = { 24, 88, 166 }, skipped[3] = { 232, 235, 239 }, white[3] = { 255, 255, 255 };

static void map_shows_density(void **state)
{
    struct child c;
    png_image image;
    size_t len;

    (void)state;
    FILE *f = fopen(map_path(), "w"); /* the picture replaces all of a longer file */
    assert_non_null(f);
    assert_int_equal(fseek(f, 4 << 20, SEEK_SET), 0);
    fputc('x', f);
    fclose(f);
    RUN_PROMPT(&c, "-n", "1", "--attn", "prism", "--prism-block", "32", "--prism-dense-tail", "0", "--json", "--attn-map", map_path());
    assert_worked(&c);
    assert_int_equal(c.n_err, 0);
    char *bytes = test_read_file(map_path(), &len);
    assert_memory_equal(bytes, "\x89PNG\r\n\x1a\n", 8);
    assert_memory_equal(bytes + len - 8, "IEND", 4);
    free(bytes);
    png_bytep pixels = read_picture(&image);
    /* Panels of more than 120 and at most 240 pixels. */
    assert_in_range(image.width, N_HEAD * 120, N_HEAD * 256 + 200);
    assert_in_range(image.height, N_LAYER * 120, N_LAYER * 256 + 300);
    double n_chosen = (double)count_color(&image, pixels, chosen), n_skipped = (double)count_color(&image, pixels, skipped);
    assert_true(count_color(&image, pixels, white) > (size_t)(n_chosen + n_skipped)); /* upper triangles, margins, the last layer */
    /* Each block is a square of one size, except that the last of N rows may be cut short: 2 / (N + 1) of all blocks. */
    double n_blocks = (number_after(c.out, "\"n_prompt\": ") + 31) / 32, density = number_after(strstr(c.out, "\"attention\""), "\"density\": ");
    double share = n_chosen / (n_chosen + n_skipped);
    if (!(n_blocks > 64 && share >= density - 2 / (n_blocks + 1) && share <= density + 2 / (n_blocks + 1))) /* a NaN is neither */
        fail_msg("density %g of %g rows of blocks, picture %g", density, n_blocks, share);
    free(pixels);
    child_free(&c);
}

/* --prism-p 1 chooses all: no pixel is skipped but those of the legend. */
static void map_of_all_blocks(void **state)
{
    struct child c;
    png_image image;

    (void)state;
    RUN_PROMPT(&c, "-n", "1", "--attn", "prism", "--prism-p", "1", "--attn-map", map_path());
    assert_worked(&c);
    png_bytep pixels = read_picture(&image);
    size_t panels = (N_LAYER - 1) * N_HEAD;
    assert_true(count_color(&image, pixels, chosen) > panels * 120 * 120 / 2);
    assert_in_range(count_color(&image, pixels, skipped), 1, 24 * 24);
    free(pixels);
    child_free(&c);
}

/* Sink and diagonal alone: each panel is a run of columns with a chosen pixel, as wide as all blocks, which begins with the full column of
 * block 0 and has no other. */
static void map_has_keys_across(void **state)
{
    struct child c;
    png_image image;
    size_t n_panels = 0, begin = 0;

    (void)state;
    RUN_PROMPT(&c, "-n", "1", "--attn", "streaming", "--stream-sink", "32", "--stream-window", "32", "--prism-block", "32", "--json",
        "--attn-map", map_path());
    assert_worked(&c);
    size_t n_blocks = ((size_t)number_after(c.out, "\"n_prompt\": ") + 31) / 32, dot = 240 / n_blocks, full = (N_LAYER - 1) * n_blocks * dot;
    png_bytep pixels = read_picture(&image);
    size_t *n = calloc(image.width, sizeof *n); /* chosen pixels of each column */
    assert_non_null(n);
    for (size_t i = 0; i < (size_t)image.width * image.height; i++)
        n[i % image.width] += memcmp(pixels + 3 * i, chosen, 3) == 0;
    for (size_t x = 1; x < image.width; x++) {
        if (n[x] && !n[x - 1])
            begin = x;
        if (n[x] || !n[x - 1] || x - begin < 24) /* the legend has a square of fewer pixels */
            continue;
        assert_int_equal(x - begin, n_blocks * dot);
        assert_true(n[begin] > full / 2);
        assert_true(n[begin + dot] < full / 2);
        n_panels++;
    }
    assert_int_equal(n_panels, N_HEAD);
    free(n);
    free(pixels);
    child_free(&c);
}

static void map_refuses(void **state)
{
    static const char kept[] = "kept";
    struct child c;
    size_t len;

    (void)state;
    RUN_PROMPT(&c, "-n", "1", "--attn", "prism", "--attn-map", "no/such/map.png");
    assert_refused(&c, "cannot write no/such/map.png: No such file or directory\n");
    child_free(&c);
    RUN_PROMPT(&c, "-n", "1", "--attn", "prism", "--attn-map", "/");
    assert_refused(&c, "cannot write /: Is a directory\n");
    child_free(&c);
    RUN_PROMPT(&c, "-n", "1", "--attn", "prism", "--attn-map", "/dev/full");
    assert_refused(&c, "cannot write /dev/full: No space left on device\n");
    child_free(&c);

    unlink(map_path());
    RUN_PROMPT(&c, "-n", "1", "--attn", "dense", "--json", "--attn-map", map_path());
    assert_worked(&c);
    assert_non_null(strstr(c.err, "map.png: nothing to draw: attention was dense\n"));
    assert_int_equal(child_error_lines(&c), 1);
    assert_int_equal(access(map_path(), F_OK), -1); /* and no empty file */
    child_free(&c);

    FILE *f = fopen(map_path(), "w");
    assert_non_null(f);
    fputs(kept, f);
    fclose(f);
    RUN_PROMPT(&c, "-n", "1", "--attn-map", map_path()); /* auto: a short prompt is dense */
    assert_worked(&c);
    char *bytes = test_read_file(map_path(), &len);
    assert_string_equal(bytes, kept);
    free(bytes);
    child_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_values),      cmocka_unit_test(good_values),
        cmocka_unit_test(every_flag_has_a_case),
        cmocka_unit_test(stats_table),
        cmocka_unit_test(json_attention),
        cmocka_unit_test(short_prompts_are_dense),
        cmocka_unit_test(map_shows_density),
        cmocka_unit_test(map_of_all_blocks), cmocka_unit_test(map_has_keys_across),
        cmocka_unit_test(map_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
