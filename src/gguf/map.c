/* map.c - opening and mapping one file, and the small helpers that read from the mapping. */
#include "src/gguf/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/base/arena.h"

static const char *kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR: return "a directory";
    case S_IFCHR: return "a character device";
    case S_IFBLK: return "a block device";
    case S_IFIFO: return "a pipe";
    case S_IFSOCK: return "a socket";
    }
    return "something else";
}

static enum prism_status map_fd(int fd, struct prism_gguf *g, const char *shown, struct prism_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return prism_fail(err, PRISM_E_IO, "%s: file: cannot inspect: %m", shown);
    if (!S_ISREG(st.st_mode))
        return prism_fail(err, PRISM_E_IO, "%s: file: expected a regular file, found %s", shown, kind_of(st.st_mode));
    if ((uint64_t)st.st_size > SIZE_MAX)
        return prism_fail(err, PRISM_E_IO, "%s: file: %lld bytes do not fit the address space", shown, (long long)st.st_size);
    g->map_bytes = (uint64_t)st.st_size;
    if (g->map_bytes == 0)
        return PRISM_OK; /* an empty file cannot be mapped; the header check refuses it */
    void *map = mmap(NULL, (size_t)g->map_bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return prism_fail(err, PRISM_E_IO, "%s: file: cannot map %llu bytes: %m", shown, (unsigned long long)g->map_bytes);
    g->map = map;
    prism_advise_huge(map, g->map_bytes); /* decode reads all of it for each token */
    return PRISM_OK;
}

enum prism_status prism_map_file(struct prism_gguf *g, struct prism_error *err)
{
    const char *shown = g->path;
    int fd = open(g->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* non-blocking: opening a pipe must not wait for its writer */
    if (fd < 0)
        return prism_fail(err, PRISM_E_IO, "%s: file: cannot open: %m", shown);
    enum prism_status status = map_fd(fd, g, shown, err);
    close(fd); /* the mapping keeps the file */
    return status;
}

const uint8_t *prism_take(struct prism_cursor *c, uint64_t n)
{
    if (n > c->left)
        return NULL;
    const uint8_t *p = c->at;
    c->at += n;
    c->left -= n;
    return p;
}

uint16_t prism_le16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
uint32_t prism_le32(const uint8_t *p) { return prism_le16(p) | (uint32_t)prism_le16(p + 2) << 16; }
uint64_t prism_le64(const uint8_t *p) { return prism_le32(p) | (uint64_t)prism_le32(p + 4) << 32; }

int prism_show_len(size_t n) { return n < 80 ? (int)n : 80; }

void *prism_grow(void *array, uint64_t n, size_t size)
{
    if (n & (n - 1) || (n > 0 && n < 16)) /* room is left until n reaches the next power of two */
        return array;
    uint64_t cap = n < 16 ? 16 : 2 * n;
    return cap > SIZE_MAX / size ? NULL : realloc(array, (size_t)cap * size);
}
