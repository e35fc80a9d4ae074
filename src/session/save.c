/* save.c - prism_session_save: a whole file or none (prism.h). All threads write rows, each where it belongs, and hash them. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "src/session/session.h"

struct writer {
    const char *path;       /* as given, for messages */
    char *target, *temp;    /* malloc'ed: what is replaced, and what is written */
    int fd, folder;         /* folder: -1 where one may write but not read */
    struct session_rows rows;
    uint64_t *hashes;       /* [n_rows] */
    atomic_int error;       /* errno of a write that failed, 0: none */
    uint64_t bytes;         /* of the whole file */
};

static int write_at(int fd, const void *from, size_t n, uint64_t at)
{
    for (const uint8_t *p = from; n > 0;) {
        ssize_t done = pwrite(fd, p, n, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? errno : ENOSPC;
        p += done, at += (uint64_t)done, n -= (size_t)done;
    }
    return 0;
}

static void write_job(void *arg, size_t job, uint32_t thread)
{
    struct writer *w = arg;
    struct session_row row = session_row(&w->rows, job);

    (void)thread;
    if (atomic_load(&w->error))
        return;
    w->hashes[job] = session_hash(row.at, row.bytes, job);
    int error = write_at(w->fd, row.at, row.bytes, row.offset);
    if (error)
        atomic_store(&w->error, error);
}

static enum prism_status fail_write(const struct writer *w, int error, struct prism_error *err)
{
    errno = error;
    return prism_fail(err, PRISM_E_IO, "session %s: cannot write %llu bytes: %m", w->path, (unsigned long long)w->bytes);
}

/* ---- the file beside it ---- */

/* The names. A link is followed as far as it leads somewhere. */
static enum prism_status name_files(struct writer *w, struct prism_error *err)
{
    struct stat st;

    w->target = realpath(w->path, NULL);
    if (!w->target)
        w->target = strdup(w->path);
    if (!w->target || !(w->temp = malloc(strlen(w->target) + sizeof ".tmp")))
        return prism_fail(err, PRISM_E_NOMEM, "session: out of memory");
    stpcpy(stpcpy(w->temp, w->target), ".tmp");
    if (stat(w->target, &st) == 0 && !S_ISREG(st.st_mode))
        return prism_fail(err, PRISM_E_IO, "session %s: not a regular file", w->path);
    return PRISM_OK;
}

/* Before anything is written, as it is needed at the end. */
static enum prism_status open_folder(struct writer *w, struct prism_error *err)
{
    char *slash = strrchr(w->temp, '/');

    if (slash) { /* "/x": the folder is "/" */
        char kept = slash[1];
        slash[1] = 0;
        w->folder = open(w->temp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        slash[1] = kept;
    } else {
        w->folder = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (w->folder < 0 && errno != EACCES)
        return prism_fail(err, PRISM_E_IO, "session %s: cannot open its folder: %m", w->path);
    return PRISM_OK;
}

/* Opens the temporary file for this process alone. It may be there: of a process that was killed (nobody locks it), of one that writes (it is
 * locked), or of one that has renamed it since it was opened here (then it is another file now). */
static enum prism_status open_temp(struct writer *w, struct prism_error *err)
{
    struct stat here, there;

    w->fd = open(w->temp, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (w->fd < 0)
        return prism_fail(err, PRISM_E_IO, "session %s: cannot create %s: %m", w->path, w->temp);
    enum prism_status s = PRISM_OK;
    if (flock(w->fd, LOCK_EX | LOCK_NB) != 0 || fstat(w->fd, &here) != 0 || lstat(w->temp, &there) != 0 || here.st_ino != there.st_ino ||
        here.st_dev != there.st_dev)
        s = prism_fail(err, PRISM_E_IO, "session %s: another process writes it", w->path);
    else if (!S_ISREG(here.st_mode))
        s = prism_fail(err, PRISM_E_IO, "session %s: %s is not a regular file", w->path, w->temp);
    else if (ftruncate(w->fd, 0) != 0 || fchmod(w->fd, 0600) != 0)
        s = prism_fail(err, PRISM_E_IO, "session %s: cannot use %s: %m", w->path, w->temp);
    if (s) {
        close(w->fd);
        w->fd = -1;
    }
    return s;
}

/* ---- its content ---- */

static enum prism_status write_all(struct writer *w, struct prism_context *c, struct session_header *h, struct prism_error *err)
{
    int error = fallocate(w->fd, 0, 0, (off_t)w->bytes) == 0 ? 0 : errno;

    if (error == ENOSPC || error == EFBIG || error == EDQUOT)
        return fail_write(w, error, err); /* before any work is done; other errors: the file system has no such call */
    prism_team_run(c->team, w->rows.n_rows, write_job, w);
    error = atomic_load(&w->error);
    h->hash_of_hashes = session_hash(w->hashes, w->rows.n_rows * sizeof *w->hashes, 0);
    h->hash = session_header_hash(h);
    if (!error)
        error = write_at(w->fd, w->hashes, w->rows.n_rows * sizeof *w->hashes, w->rows.end);
    if (!error)
        error = write_at(w->fd, h, sizeof *h, 0);
    if (!error && fsync(w->fd) != 0)
        error = errno;
    if (!error && rename(w->temp, w->target) != 0)
        error = errno;
    if (!error && w->folder >= 0 && fsync(w->folder) != 0 && errno != EINVAL && errno != ENOTSUP) /* which some file systems lack */
        return prism_fail(err, PRISM_E_IO, "session %s: written, but its folder cannot be synchronised: %m", w->path);
    return error ? fail_write(w, error, err) : PRISM_OK;
}

/* A file size limit (ulimit -f) raises a signal that ends programs that do not expect it: it is taken back. Other threads of this library
 * block it always. */
static enum prism_status write_unsignalled(struct writer *w, struct prism_context *c, struct session_header *h, struct prism_error *err)
{
    sigset_t limit, before, pending;

    sigemptyset(&limit);
    sigaddset(&limit, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &limit, &before);
    sigpending(&pending);
    enum prism_status s = write_all(w, c, h, err);
    while (!sigismember(&pending, SIGXFSZ) && sigtimedwait(&limit, NULL, &(struct timespec){ 0 }) < 0 && errno == EINTR)
        ;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return s;
}

static enum prism_status save(struct writer *w, struct prism_context *c, struct prism_error *err)
{
    struct session_header h = { .magic = SESSION_MAGIC, .version = SESSION_VERSION, .header_bytes = SESSION_HEADER,
                                .facts = prism_state_facts(c) };
    enum prism_status s = name_files(w, err);

    if (!s)
        s = session_rows_list(c, &h.facts, &w->rows, err);
    if (s)
        return s;
    w->hashes = malloc(w->rows.n_rows * sizeof *w->hashes);
    if (!w->hashes)
        return prism_fail(err, PRISM_E_NOMEM, "session: out of memory");
    prism_model_fingerprint(c->model, h.fingerprint);
    session_settings(c, h.settings);
    h.n_rows = w->rows.n_rows;
    h.file_bytes = w->bytes = w->rows.end + w->rows.n_rows * sizeof *w->hashes;
    s = open_folder(w, err);
    if (!s)
        s = open_temp(w, err);
    if (s)
        return s;
    s = write_unsignalled(w, c, &h, err);
    if (s)
        unlink(w->temp); /* or nothing, when it was renamed */
    return s;
}

enum prism_status prism_session_save(prism_context *c, const char *path, struct prism_error *err)
{
    struct writer w = { .path = path, .fd = -1, .folder = -1 };

    prism_error_clear(err);
    if (!c || !path)
        return prism_fail(err, PRISM_E_ARG, "session: the %s is NULL", c ? "path" : "context");
    if (c->length == 0)
        return prism_fail(err, PRISM_E_ARG, "session %s: the context is empty", path);
    enum prism_status s = save(&w, c, err);
    if (w.fd >= 0)
        close(w.fd);
    if (w.folder >= 0)
        close(w.folder);
    session_rows_free(&w.rows);
    free(w.hashes);
    free(w.temp);
    free(w.target);
    return s;
}
