/* load.c - prism_session_load: header first, then the rows, read by all threads straight into the cache and hashed there.
 *
 * read, not mmap: 256 MiB by two threads come with 2.2 GB/s either way when they are in memory, and from the disk with 1.4 GB/s when they are
 * read, 1.0 when they are mapped and copied, 0.8 with MAP_POPULATE. And a file that another process shortens is an error in words, no SIGBUS. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/engine/finite.h"
#include "src/engine/selection.h"
#include "src/session/session.h"

struct reader {
    const char *path;
    int fd;
    struct session_header h;
    struct session_rows rows;
    uint64_t *hashes;       /* [n_rows], as in the file */
    atomic_size_t bad;      /* the first row that is damaged or cannot be read; SIZE_MAX: none */
    atomic_int error;       /* errno of a read that failed, 0: none */
};

/* Errors of the system as errno; a file that ends too early as ENODATA. */
static int read_at(int fd, void *to, size_t n, uint64_t at)
{
    for (uint8_t *p = to; n > 0;) {
        ssize_t done = pread(fd, p, n, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? errno : ENODATA;
        p += done, at += (uint64_t)done, n -= (size_t)done;
    }
    return 0;
}

static enum prism_status fail_read(const struct reader *r, int error, struct prism_error *err)
{
    errno = error;
    return error == ENODATA ? prism_fail(err, PRISM_E_FORMAT, "session %s: it ends too early", r->path)
                            : prism_fail(err, PRISM_E_IO, "session %s: cannot read: %m", r->path);
}

/* ---- the header ---- */

static enum prism_status read_header(struct reader *r, uint64_t file_bytes, struct prism_error *err)
{
    struct session_header *h = &r->h;
    size_t n = file_bytes < sizeof *h ? (size_t)file_bytes : sizeof *h;
    int error = read_at(r->fd, h, n, 0);

    if (error)
        return fail_read(r, error, err);
    if (n < sizeof h->magic + sizeof h->version || memcmp(h->magic, SESSION_MAGIC, sizeof h->magic))
        return prism_fail(err, PRISM_E_FORMAT, "session %s: not a session file", r->path);
    if (h->version != SESSION_VERSION)
        return prism_fail(err, PRISM_E_UNSUPPORTED, "session %s: made in version %u of the format, this library has %d", r->path, h->version,
                          SESSION_VERSION);
    if (n < sizeof *h)
        return fail_read(r, ENODATA, err);
    if (h->hash != session_header_hash(h))
        return prism_fail(err, PRISM_E_FORMAT, "session %s: header: damaged (its hash is wrong)", r->path);
    if (h->file_bytes != file_bytes)
        return prism_fail(err, PRISM_E_FORMAT, "session %s: expected %llu bytes, found %llu", r->path, (unsigned long long)h->file_bytes,
                          (unsigned long long)file_bytes);
    if (h->header_bytes != sizeof *h || h->facts.length == 0 || h->facts.length > PRISM_MAX_CONTEXT || h->facts.whole > h->facts.length || h->facts.kept_from > h->facts.length ||
        h->facts.logits > 1 || h->facts.logits_exact > h->facts.logits || h->facts.sketched > 1 || h->facts.rotations > PRISM_ROTATIONS_SHORT)
        return prism_fail(err, PRISM_E_FORMAT, "session %s: header: contradicts itself", r->path);
    return PRISM_OK;
}

/* Whether the states are of the first tokens, and of no model but one that has such, which needs that of all tokens. */
static bool states_agree(const struct prism_context *c, const struct prism_state_facts *f)
{
    bool all = false, any = false;

    for (size_t i = 0; i < PRISM_DELTA_STATES; i++) {
        if (f->states[i] > f->length)
            return false;
        all |= f->states[i] == f->length;
        any |= f->states[i] != 0;
    }
    return c->delta.shape ? all || f->rotations == PRISM_ROTATIONS_NONE : !any;
}

static enum prism_status open_file(struct reader *r, struct prism_error *err)
{
    struct stat st;

    r->fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* opening a pipe must not wait for its writer */
    if (r->fd < 0 || fstat(r->fd, &st) != 0)
        return prism_fail(err, PRISM_E_IO, "session %s: cannot open: %m", r->path);
    if (!S_ISREG(st.st_mode))
        return prism_fail(err, PRISM_E_IO, "session %s: not a regular file", r->path);
    return read_header(r, (uint64_t)st.st_size, err);
}

/* The first line in which the settings differ. */
static enum prism_status check_settings(const struct reader *r, const struct prism_context *c, struct prism_error *err)
{
    char here[SESSION_SETTINGS];
    const char *a = r->h.settings, *b = here;

    session_settings(c, here);
    if (!memcmp(a, b, SESSION_SETTINGS))
        return PRISM_OK;
    if (strnlen(a, SESSION_SETTINGS) == SESSION_SETTINGS)
        return prism_fail(err, PRISM_E_FORMAT, "session %s: header: contradicts itself", r->path);
    for (size_t n; *a && *b; a += n + (a[n] == '\n'), b += n + (b[n] == '\n')) {
        n = strcspn(a, "\n");
        if (n != strcspn(b, "\n") || memcmp(a, b, n))
            break;
    }
    return prism_fail(err, PRISM_E_UNSUPPORTED, "session %s: made with %.*s, this context has %.*s", r->path, (int)strcspn(a, "\n"), a,
                      (int)strcspn(b, "\n"), b);
}

/* Whether the file can go into this context. */
static enum prism_status check_context(const struct reader *r, const struct prism_context *c, struct prism_error *err)
{
    uint64_t f[2];
    enum prism_status s;

    prism_model_fingerprint(c->model, f);
    if (memcmp(f, r->h.fingerprint, sizeof f))
        return prism_fail(err, PRISM_E_UNSUPPORTED, "session %s: made with another model (fingerprint %016llx, this one has %016llx)", r->path,
                          (unsigned long long)r->h.fingerprint[0], (unsigned long long)f[0]);
    if ((s = check_settings(r, c, err)))
        return s;
    if (r->h.facts.length > c->plan.n_ctx)
        return prism_fail(err, PRISM_E_LENGTH, "session %s: %llu tokens, the context holds %u", r->path,
                          (unsigned long long)r->h.facts.length, c->plan.n_ctx);
    if ((r->h.facts.sketched && !c->selection.sketch) || (r->h.facts.rotations == PRISM_ROTATIONS_SHORT && !c->model->ropes[0].freq_short) ||
        !states_agree(c, &r->h.facts))
        return prism_fail(err, PRISM_E_FORMAT, "session %s: header: contradicts itself", r->path);
    return PRISM_OK;
}

/* ---- the rows ---- */

static enum prism_status read_hashes(struct reader *r, const struct prism_context *c, struct prism_error *err)
{
    enum prism_status s = session_rows_list(c, &r->h.facts, &r->rows, err);

    if (s)
        return s;
    uint64_t bytes = r->rows.n_rows * sizeof *r->hashes;
    if (r->h.n_rows != r->rows.n_rows || r->h.file_bytes != r->rows.end + bytes)
        return prism_fail(err, PRISM_E_FORMAT, "session %s: header: contradicts itself", r->path);
    r->hashes = malloc(bytes);
    if (!r->hashes)
        return prism_fail(err, PRISM_E_NOMEM, "session: out of memory");
    int error = read_at(r->fd, r->hashes, bytes, r->rows.end);
    if (error)
        return fail_read(r, error, err);
    if (session_hash(r->hashes, bytes, 0) != r->h.hash_of_hashes)
        return prism_fail(err, PRISM_E_FORMAT, "session %s: hashes: damaged", r->path);
    return PRISM_OK;
}

static void note_bad(struct reader *r, size_t row)
{
    size_t seen = atomic_load(&r->bad);
    while (row < seen && !atomic_compare_exchange_weak(&r->bad, &seen, row))
        ;
}

static void read_job(void *arg, size_t job, uint32_t thread)
{
    struct reader *r = arg;
    struct session_row row = session_row(&r->rows, job);

    (void)thread;
    if (atomic_load(&r->bad) < job || atomic_load(&r->error))
        return;
    int error = read_at(r->fd, row.at, row.bytes, row.offset);
    if (error)
        atomic_store(&r->error, error);
    else if (session_hash(row.at, row.bytes, job) != r->hashes[job])
        note_bad(r, job);
}

/* What is used as an index lies in its range, whoever made the file. */
static bool is_sound(const struct prism_context *c, const struct prism_state_facts *f)
{
    for (uint64_t i = 0; i < f->length; i++)
        if ((uint32_t)c->tokens[i] >= c->model->n_vocab)
            return false;
    if (f->logits && !prism_is_finite(c->logits, c->model->n_vocab))
        return false;
    for (uint32_t l = 0; f->sketched && l < c->model->n_layer; l++) {
        const struct prism_attn_spec *a = prism_heads(c, l);
        const struct prism_sketch *s = &c->selection.sketch[l];
        if (!s->rank)
            continue;
        if (*s->n_done > f->length / c->plan.block)
            return false;
        for (uint32_t h = 0; h < a->n_head_kv; h++)
            if (s->rank[h] % PRISM_SKETCH_STEP || s->rank[h] > prism_sketch_dim(a->head_dim) || (s->rank[h] == 0) != (s->rank[0] == 0))
                return false;
    }
    return true;
}

static enum prism_status read_rows(struct reader *r, struct prism_context *c, struct prism_error *err)
{
    prism_kv_advise(c, 0, r->h.facts.length);
    prism_team_run(c->team, r->rows.n_rows, read_job, r);
    size_t bad = atomic_load(&r->bad);
    int error = atomic_load(&r->error);

    if (error)
        return fail_read(r, error, err);
    if (bad != SIZE_MAX)
        return prism_fail(err, PRISM_E_FORMAT, "session %s: %s: damaged (row %zu)", r->path, session_row(&r->rows, bad).name, bad);
    if (!is_sound(c, &r->h.facts))
        return prism_fail(err, PRISM_E_FORMAT, "session %s: contradicts itself", r->path);
    prism_state_adopt(c, &r->h.facts);
    return PRISM_OK;
}

enum prism_status prism_session_load(prism_context *c, const char *path, struct prism_error *err)
{
    struct reader r = { .path = path, .fd = -1, .bad = SIZE_MAX };

    prism_error_clear(err);
    if (!c || !path)
        return prism_fail(err, PRISM_E_ARG, "session: the %s is NULL", c ? "path" : "context");
    if (c->length)
        return prism_fail(err, PRISM_E_ARG, "session %s: the context is not empty", path);
    enum prism_status s = open_file(&r, err);
    if (!s)
        s = check_context(&r, c, err);
    if (!s)
        s = read_hashes(&r, c, err);
    if (!s && (s = read_rows(&r, c, err)))
        prism_selection_truncate(c); /* forgets sketches that were half read */
    if (r.fd >= 0)
        close(r.fd);
    session_rows_free(&r.rows);
    free(r.hashes);
    return s;
}

enum prism_status prism_session_info(const char *path, struct prism_session_info *info, struct prism_error *err)
{
    struct reader r = { .path = path, .fd = -1 };

    prism_error_clear(err);
    if (info)
        *info = (struct prism_session_info){ 0 };
    if (!path || !info)
        return prism_fail(err, PRISM_E_ARG, "session: %s is NULL", path ? "the place for its facts" : "the path");
    enum prism_status s = open_file(&r, err);
    if (!s)
        *info = (struct prism_session_info){ r.h.facts.length, r.h.file_bytes };
    if (r.fd >= 0)
        close(r.fd);
    return s;
}
