/* gguf_write.c - see gguf_write.h. */
#include "tools/model/gguf_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/common/process.h"

/* ---- bytes -------------------------------------------------------------------------------------------------------- */

bool gguf_put(struct gguf_bytes *b, const void *bytes, size_t n)
{
    if (n > b->cap - b->n) {
        size_t cap = 2 * (b->n + n);
        uint8_t *p = realloc(b->p, cap);
        if (!p)
            return false;
        b->p = p;
        b->cap = cap;
    }
    if (n)
        memcpy(b->p + b->n, bytes, n);
    b->n += n;
    return true;
}

bool gguf_put_str(struct gguf_bytes *b, const char *s, size_t n)
{
    uint64_t len = n;
    return gguf_put(b, &len, sizeof len) && gguf_put(b, s, n);
}

size_t gguf_value_bytes(const struct prism_gguf_kv *kv)
{
    size_t n = 0;

    if (!kv->strings)
        return (size_t)kv->n * prism_gguf_vtype_bytes(kv->elem);
    for (uint64_t i = 0; i < kv->n; i++)
        n += sizeof(uint64_t) + kv->strings[i].n;
    return n;
}

/* ---- pairs and tensors -------------------------------------------------------------------------------------------- */

static void begin_pair(struct gguf_writer *w, const char *key, size_t key_len, enum prism_gguf_vtype type)
{
    uint32_t id = type;
    w->no_memory |= !gguf_put_str(&w->pairs, key, key_len) || !gguf_put(&w->pairs, &id, sizeof id);
    w->n_pairs++;
}

static void add(struct gguf_writer *w, const void *bytes, size_t n) { w->no_memory |= !gguf_put(&w->pairs, bytes, n); }

void gguf_add_u32(struct gguf_writer *w, const char *key, uint32_t value)
{
    begin_pair(w, key, strlen(key), PRISM_GV_U32);
    add(w, &value, sizeof value);
}

void gguf_add_f32(struct gguf_writer *w, const char *key, float value)
{
    begin_pair(w, key, strlen(key), PRISM_GV_F32);
    add(w, &value, sizeof value);
}

void gguf_add_str(struct gguf_writer *w, const char *key, const char *value)
{
    begin_pair(w, key, strlen(key), PRISM_GV_STR);
    w->no_memory |= !gguf_put_str(&w->pairs, value, strlen(value));
}

static void add_array_head(struct gguf_writer *w, enum prism_gguf_vtype elem, uint64_t n)
{
    uint32_t id = elem;
    add(w, &id, sizeof id);
    add(w, &n, sizeof n);
}

void gguf_add_copy(struct gguf_writer *w, const struct prism_gguf_kv *kv)
{
    begin_pair(w, kv->key.p, kv->key.n, kv->type);
    if (kv->type == PRISM_GV_ARR)
        add_array_head(w, kv->elem, kv->n);
    add(w, kv->data, gguf_value_bytes(kv));
}

void gguf_add_array(struct gguf_writer *w, const char *key, enum prism_gguf_vtype elem, uint64_t n, const void *bytes, size_t n_bytes)
{
    begin_pair(w, key, strlen(key), PRISM_GV_ARR);
    add_array_head(w, elem, n);
    add(w, bytes, n_bytes);
}

static uint64_t padding(uint64_t n) { return -n & (GGUF_ALIGNMENT - 1); }

void gguf_add_tensor(struct gguf_writer *w, const char *name, enum prism_type type, uint32_t n_dims, const uint64_t *ne)
{
    uint64_t bytes = prism_row_bytes(type, (size_t)ne[0]);
    struct gguf_bytes *b = &w->infos;

    w->no_memory |= !gguf_put_str(b, name, strlen(name)) || !gguf_put(b, &n_dims, sizeof n_dims) || !gguf_put(b, ne, n_dims * sizeof *ne) ||
                    !gguf_put(b, &prism_types[type].id, sizeof(uint32_t)) || !gguf_put(b, &w->data_bytes, sizeof w->data_bytes);
    for (uint32_t i = 1; i < n_dims; i++)
        bytes *= ne[i];
    w->data_bytes += bytes + padding(bytes);
    w->n_tensors++;
}

/* ---- the file ----------------------------------------------------------------------------------------------------- */

static int failed(const struct gguf_writer *w, const char *what) { return process_error("%s: %s: %s", w->target, what, strerror(errno)); }

static int write_all(struct gguf_writer *w, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;

    while (n > 0) {
        ssize_t done = write(w->fd, p, n);
        if (done < 0 && errno == EINTR && process_interrupted())
            return PROCESS_INTERRUPTED;
        if (done < 0 && errno != EINTR)
            return failed(w, "cannot write");
        if (done > 0) {
            p += done;
            n -= (size_t)done;
        }
    }
    return PROCESS_OK;
}

/* Where the file will lie: what PATH points to when it is a link, so that a link stays one. */
static int choose_names(struct gguf_writer *w, const char *path)
{
    struct stat st;
    bool exists = stat(path, &st) == 0, regular = exists && S_ISREG(st.st_mode);

    w->target = regular ? realpath(path, NULL) : strdup(path);
    if (!w->target)
        return process_error("%s: cannot write: %s", path, strerror(errno));
    if (exists && S_ISDIR(st.st_mode))
        return process_error("%s: cannot write: it is a directory", path);
    if ((!exists || regular) && asprintf(&w->temporary, "%s.%ld.partial", w->target, (long)getpid()) < 0) {
        w->temporary = NULL;
        return process_error("out of memory");
    }
    return PROCESS_OK;
}

static int create(struct gguf_writer *w, uint64_t total)
{
    const char *name = w->temporary ? w->temporary : w->target;

    w->fd = open(name, O_WRONLY | O_CLOEXEC | (w->temporary ? O_CREAT | O_EXCL : 0), 0666);
    if (w->fd < 0) {
        process_error("%s: cannot create: %s", name, strerror(errno));
        free(w->temporary); /* not ours to remove */
        w->temporary = NULL;
        return PROCESS_ERROR;
    }
    w->open = true;
    /* A disk that is too small is found out now rather than in a minute. Not every filesystem can tell. */
    if (w->temporary && fallocate(w->fd, 0, 0, (off_t)total) && (errno == ENOSPC || errno == EFBIG || errno == EDQUOT))
        return process_error("%s: cannot reserve %.1f MB: %s", w->target, (double)total / 1e6, strerror(errno));
    return PROCESS_OK;
}

int gguf_begin(struct gguf_writer *w, const char *path)
{
    static const uint8_t zeros[GGUF_ALIGNMENT];
    struct gguf_bytes head = { 0 };
    uint32_t version = 3;

    bool fits = gguf_put(&head, "GGUF", 4) && gguf_put(&head, &version, sizeof version) && gguf_put(&head, &w->n_tensors, sizeof w->n_tensors) &&
                gguf_put(&head, &w->n_pairs, sizeof w->n_pairs) && gguf_put(&head, w->pairs.p, w->pairs.n) &&
                gguf_put(&head, w->infos.p, w->infos.n) && gguf_put(&head, zeros, (size_t)padding(head.n));
    int status = fits && !w->no_memory ? choose_names(w, path) : process_error("out of memory");
    if (status == PROCESS_OK)
        status = create(w, head.n + w->data_bytes);
    if (status == PROCESS_OK)
        status = write_all(w, head.p, head.n);
    free(head.p);
    return status;
}

int gguf_data(struct gguf_writer *w, const void *bytes, size_t n)
{
    w->written += n;
    return write_all(w, bytes, n);
}

int gguf_end_tensor(struct gguf_writer *w)
{
    static const uint8_t zeros[GGUF_ALIGNMENT];
    return gguf_data(w, zeros, (size_t)padding(w->written));
}

int gguf_commit(struct gguf_writer *w)
{
    if (w->written != w->data_bytes)
        return process_error("%s: wrote %llu bytes of data, the header says %llu", w->target, (unsigned long long)w->written,
                             (unsigned long long)w->data_bytes);
    w->open = false;
    if (close(w->fd))
        return failed(w, "cannot write");
    if (w->temporary && rename(w->temporary, w->target))
        return failed(w, "cannot rename the finished file");
    free(w->temporary);
    w->temporary = NULL;
    return PROCESS_OK;
}

void gguf_free(struct gguf_writer *w)
{
    if (w->open)
        close(w->fd);
    if (w->temporary)
        unlink(w->temporary);
    free(w->temporary);
    free(w->target);
    free(w->pairs.p);
    free(w->infos.p);
    *w = (struct gguf_writer){ 0 };
}
