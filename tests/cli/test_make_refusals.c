/* test_make_refusals.c - make-model: what it refuses, in one line, and that an interrupted or failed run leaves nothing behind and an existing
 * file as it was. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/data.h"
#include "tests/support/gguf_build.h"
#include "tests/support/screen.h"
#include "tests/support/tool_check.h"

static const char vocab[] = "models/gutenberg-llama-16m-q8_0.gguf"; /* 8192 tokens */

/* 449 million weights that take seconds to round on one thread, in a file of 252 MB. */
#define LONG_RUN "make-model", "--shape", "qwen3-0.6b", "--keep-vocab", "--type", "Q4_0", "--vocab", vocab, "-o"

/* An empty directory for outputs, made once, and a file in it. */
static const char *output_dir(void)
{
    static char path[512];

    if (!path[0]) {
        snprintf(path, sizeof path, "%s/output", test_tmp_dir());
        assert_int_equal(mkdir(path, 0700), 0);
    }
    return path;
}

static const char *output(const char *name)
{
    static char paths[2][600];
    static unsigned turn;
    char *path = paths[turn++ & 1];

    snprintf(path, sizeof paths[0], "%s/%s", output_dir(), name);
    return path;
}

static size_t files_in_output_dir(void)
{
    DIR *d = opendir(output_dir());
    size_t n = 0;

    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* ---- one line ----------------------------------------------------------------------------------------------------- */

static void wrong_flags(void **state)
{
    static const struct {
        const char *args[10], *expected;
    } cases[] = {
        { { "-o", "x" }, "use either --shape NAME or --convert FILE" },
        { { "--shape", "qwen3-0.6b", "--convert", "x", "--type", "F16", "-o", "x" }, "use either --shape NAME or --convert FILE" },
        { { "--shape", "qwen3-0.6b", "-o", "x" }, "no type: use --type TYPE" },
        { { "--shape", "qwen3-0.6b", "--type", "F16" }, "no file to write: use -o FILE" },
        { { "--shape", "qwen3-0.6b", "--type", "F16", "-o", "" }, "no file to write: use -o FILE" },
        { { "--shape", "qwen3-0.6b", "--keep-vocab", "--type", "F16", "-o", "x" }, "--keep-vocab: no tokenizer: use --vocab FILE" },
        { { "--shape", "qwen3", "--type", "F16", "-o", "x" }, "--shape qwen3: expected one of: qwen3-0.6b qwen3-1.7b " },
        { { "--shape", "qwen3-0.6b", "--type", "Q4", "--vocab", vocab, "-o", "x" }, "--type Q4: expected one of: F32 F16 BF16 Q4_0 " },
        { { "--shape", "qwen3-0.6b", "--type", "F16", "--layers", "0", "-o", "x" }, "--layers 0: expected a whole number from 1 to 512" },
        { { "--shape", "qwen3-0.6b", "--type", "F16", "--vocab", "/nonexistent", "-o", "x" }, "/nonexistent: " },
        { { "--shape", "qwen3-0.6b", "--type", "F16", "--vocab", "README.md", "-o", "x" }, "README.md: magic: expected \"GGUF\"" },
        { { "--convert", "README.md", "--type", "F16", "-o", "x" }, "README.md: magic: expected \"GGUF\"" },
        { { "--convert", vocab, "--type", "Q4_K", "-o", "x" }, "--type Q4_K: --convert writes F32 F16 BF16 Q8_0 Q4_0 only" },
        { { "--convert", vocab, "--type", "Q4_K_M", "-o", "x" }, "--type Q4_K_M: --convert writes F32 F16 BF16 Q8_0 Q4_0 only" },
        { { "--convert", vocab, "--type", "F16", "--layers", "2", "-o", "x" }, "--convert takes --type and -o only" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const *a = cases[i].args;
        struct child c;
        RUN(&c, "make-model", a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9]);
        assert_refused(&c, cases[i].expected);
        child_free(&c);
    }
    assert_int_equal(access("x", F_OK), -1);
}

/* g is written, used as the vocabulary of smollm2-135m, and freed. */
static void refuse_vocab(struct gb *g, const char *expected)
{
    struct child c;

    RUN(&c, "make-model", "--shape", "smollm2-135m", "--type", "F16", "--vocab", gb_write(g, "bad-vocab.gguf"), "-o", output("out.gguf"));
    assert_refused(&c, expected);
    child_free(&c);
    gb_free(g);
    assert_int_equal(files_in_output_dir(), 0);
}

static void vocabularies_that_do_not_fit(void **state)
{
    enum { N = 49153 };
    static char texts[N][16];
    static const char *list[N];

    (void)state;
    for (int i = 0; i < N; i++) {
        snprintf(texts[i], sizeof texts[i], "t%d", i);
        list[i] = texts[i];
    }
    struct gb *g = gb_new();
    gb_u32(g, "some.key", 1);
    refuse_vocab(g, "no tokenizer in it: key tokenizer.ggml.tokens is missing or empty");
    g = gb_new();
    gb_strings(g, "tokenizer.ggml.tokens", list, 0);
    refuse_vocab(g, "no tokenizer in it: key tokenizer.ggml.tokens is missing or empty");
    g = gb_new();
    gb_str(g, "tokenizer.ggml.tokens", "text");
    refuse_vocab(g, "key tokenizer.ggml.tokens: expected an array of strings");
    g = gb_new();
    gb_strings(g, "tokenizer.ggml.tokens", list, 4);
    gb_array(g, "tokenizer.ggml.token_type", 0, 4, "\1\1\1\1", 4); /* u8 */
    refuse_vocab(g, "key tokenizer.ggml.token_type: expected an array of i32");
    g = gb_new();
    gb_strings(g, "tokenizer.ggml.tokens", list, N);
    refuse_vocab(g, "has 49153 tokens, smollm2-135m has 49152: use another file or --keep-vocab");
}

/* A matrix of 3 rows of 32 with `value` in the second, in a type of the file. */
static const char *matrix_with(float value, uint32_t file_type, size_t bytes)
{
    static float x[3 * 32];
    struct gb *g = gb_new();

    x[32 + 7] = value;
    gb_add(g, "blk.0.w", file_type, 2, (uint64_t[]){ 32, 3 }, x, bytes);
    const char *path = gb_write(g, "matrix.gguf");
    gb_free(g);
    return path;
}

static void weights_that_do_not_fit(void **state)
{
    static const struct {
        float value;
        const char *type;
        bool fits;
    } cases[] = {
        { NAN, "Q8_0", false },    { INFINITY, "Q4_0", false },  { NAN, "F16", false },      { -INFINITY, "BF16", false },
        { 65520, "F16", false },   { 65519, "F16", true },       { -65520 * 127.f, "Q8_0", false }, { 65519 * 127.f, "Q8_0", true },
        { 65520 * 8.f, "Q4_0", false }, { 65519 * 8.f, "Q4_0", true }, { 0x1.fffffep127f, "BF16", false }, { 0x1.fep127f, "BF16", true },
        { NAN, "F32", true },
    };
    struct child c;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = matrix_with(cases[i].value, 0, 3 * 32 * sizeof(float));
        RUN(&c, "make-model", "--convert", path, "--type", cases[i].type, "-o", output("out.gguf"));
        if (cases[i].fits)
            assert_worked(&c);
        else
            assert_refused(&c, "tensor blk.0.w, row 1: a value is not finite or too large for the type");
        child_free(&c);
        assert_int_equal(files_in_output_dir(), cases[i].fits);
        unlink(output("out.gguf"));
    }
    RUN(&c, "make-model", "--convert", matrix_with(0, 9, 3 * 36), "--type", "F16", "-o", output("out.gguf")); /* 9: Q8_1, 36 bytes a block */
    assert_refused(&c, "tensor blk.0.w: cannot read type Q8_1");
    child_free(&c);
}

static void places_that_cannot_be_written(void **state)
{
    static const struct {
        const char *path, *expected;
    } cases[] = {
        { "models", "models: cannot write: it is a directory" },
        { "/nonexistent/x.gguf", "/nonexistent/x.gguf" },
        { "README.md/x.gguf", "cannot create: Not a directory" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct child c;
        RUN(&c, "make-model", "--convert", vocab, "--type", "F16", "-o", cases[i].path);
        assert_refused(&c, cases[i].expected);
        child_free(&c);
    }
}

/* The full device. Root could replace that of the system if the tool were wrong, so it gets one of its own. */
static void device_is_full(void **state)
{
    const char *path = "/dev/full";
    struct child c;
    struct stat st;

    (void)state;
    if (geteuid() == 0) {
        path = output("full");
        int fd = mknod(path, S_IFCHR | 0600, makedev(1, 7)) == 0 ? open(path, O_WRONLY) : -1;
        if (fd < 0) {
            print_message("skipped: no permission to make a device\n");
            unlink(path);
            skip();
        }
        close(fd);
    }
    RUN(&c, "make-model", "--convert", vocab, "--type", "F16", "-o", path);
    assert_refused(&c, "full: cannot write: No space left on device");
    child_free(&c);
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISCHR(st.st_mode));
    if (geteuid() == 0)
        unlink(path);
    assert_int_equal(files_in_output_dir(), 0);
}

/* What is no regular file is written in place and never replaced. */
static void pipe_is_written_in_place(void **state)
{
    static char got[1 << 16];
    char path[600];
    struct child c;
    struct stat st;
    size_t total = 0;

    (void)state;
    snprintf(path, sizeof path, "%s", output("pipe"));
    assert_int_equal(mkfifo(path, 0600), 0);
    struct pollfd end = { .fd = open(path, O_RDONLY | O_NONBLOCK), .events = POLLIN };
    assert_true(end.fd >= 0);
    pid_t pid = child_start(&c, (const char *const[]){ "make-model", "--convert", vocab, "--type", "Q8_0", "-o", path, NULL }, "", 0, -1);
    while (poll(&end, 1, 20000) == 1) { /* no event while there has been no writer: a tool that never writes ends the wait */
        ssize_t n = read(end.fd, got, sizeof got);
        if (n > 0)
            total += (size_t)n;
        else if (n == 0 || errno != EAGAIN)
            break;
    }
    close(end.fd);
    child_finish(&c, pid);
    assert_worked(&c);
    child_free(&c);
    assert_int_equal(stat(vocab, &st), 0);
    assert_int_equal(total, st.st_size); /* the same file */
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    unlink(path);
    assert_int_equal(files_in_output_dir(), 0);
}

/* ---- what stays behind -------------------------------------------------------------------------------------------- */

static void write_old_file(void)
{
    FILE *f = fopen(output("out.gguf"), "w");
    assert_non_null(f);
    fputs("old", f);
    fclose(f);
}

static void only_the_old_file_is_there(void)
{
    size_t n;
    char *text = test_read_file(output("out.gguf"), &n);

    assert_string_equal(text, "old");
    free(text);
    assert_int_equal(files_in_output_dir(), 1);
    unlink(output("out.gguf"));
}

/* A limit on the size of files stands for a full disk: both are found out before the first byte, or by the write. */
static void disk_is_full(void **state)
{
    struct rlimit before, small;
    struct child c;

    (void)state;
    write_old_file();
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 1 << 20;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    RUN(&c, "make-model", "--convert", vocab, "--type", "F16", "-o", output("out.gguf"));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_refused(&c, "File too large");
    child_free(&c);
    only_the_old_file_is_there();
}

static void interrupted(void **state)
{
    struct child c;

    (void)state;
    write_old_file();
    setenv("OMP_NUM_THREADS", "1", 1);
    pid_t pid = child_start(&c, (const char *const[]){ LONG_RUN, output("out.gguf"), NULL }, "", 0, -1);
    while (files_in_output_dir() < 2 && !child_ended(pid))
        usleep(1000);
    assert_int_equal(files_in_output_dir(), 2);
    kill(pid, SIGINT);
    child_finish(&c, pid);
    unsetenv("OMP_NUM_THREADS");
    assert_int_equal(c.status, 130);
    assert_string_equal(c.err, "make-model: interrupted before the file was complete, nothing is left of it\n");
    child_free(&c);
    only_the_old_file_is_there();
}

static void bar_on_a_terminal(void **state)
{
    static struct screen s;

    (void)state;
    pid_t pid = screen_start(&s, (const char *const[]){ LONG_RUN, output("out.gguf"), NULL });
    screen_read(&s, "/252 MB");
    assert_non_null(strstr(s.text, "\r\033[Kwriting "));
    assert_int_equal(write(s.master, "\003", 1), 1); /* Ctrl-C */
    screen_read(&s, NULL);
    assert_int_equal(child_wait(pid), 130);
    close(s.master);
    assert_int_equal(files_in_output_dir(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_flags),
        cmocka_unit_test(vocabularies_that_do_not_fit),
        cmocka_unit_test(weights_that_do_not_fit),
        cmocka_unit_test(places_that_cannot_be_written),
        cmocka_unit_test(device_is_full),
        cmocka_unit_test(pipe_is_written_in_place),
        cmocka_unit_test(disk_is_full),
        cmocka_unit_test(interrupted),
        cmocka_unit_test(bar_on_a_terminal),
    };
    return cmocka_run_group_tests_name("cli/make_refusals", tests, NULL, NULL);
}
