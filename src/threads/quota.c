/* quota.c - how much processor time Linux control groups leave to this process. Containers are limited this way: all cores
 * are visible, and threads beyond the quota only get the others stopped in the middle of a phase.
 *
 * Version 2 has `cpu.max` ("150000 100000" or "max 100000", microseconds per period), version 1 `cpu.cfs_quota_us` (-1: none)
 * and `cpu.cfs_period_us`. Source: Linux Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst. */
#include "src/threads/placement.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Reads the first line of <dir>/<name> without its newline. */
static bool read_line(const char *dir, const char *name, char *line, size_t cap)
{
    char path[PATH_MAX];

    if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, name) >= sizeof path)
        return false;
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    bool ok = fgets(line, (int)cap, f) != NULL;
    fclose(f);
    if (ok)
        line[strcspn(line, "\n")] = 0;
    return ok;
}

/* Limit of one group in processors, 0: none. */
static double limit_v2(const char *dir)
{
    char line[128];
    double quota, period;

    if (!read_line(dir, "cpu.max", line, sizeof line) || sscanf(line, "%lf %lf", &quota, &period) != 2)
        return 0; /* "max" is not a number */
    return quota > 0 && period > 0 ? quota / period : 0;
}

static double limit_v1(const char *dir)
{
    char quota_line[64], period_line[64];
    double quota, period;

    if (!read_line(dir, "cpu.cfs_quota_us", quota_line, sizeof quota_line) ||
        !read_line(dir, "cpu.cfs_period_us", period_line, sizeof period_line) ||
        sscanf(quota_line, "%lf", &quota) != 1 || sscanf(period_line, "%lf", &period) != 1)
        return 0;
    return quota > 0 && period > 0 ? quota / period : 0;
}

/* Whether name is one of the comma-separated words of list. */
static bool has_word(const char *list, const char *name)
{
    size_t n = strlen(name);

    for (const char *p = list; p; p = strchr(p, ','), p = p ? p + 1 : NULL)
        if (strncmp(p, name, n) == 0 && (p[n] == 0 || p[n] == ','))
            return true;
    return false;
}

/* This process' path in the version 2 hierarchy, or in that of version 1 which has the cpu controller. Lines of
 * /proc/self/cgroup read "<id>:<controllers>:<path>", version 2 is "0::<path>". */
static bool group_path(const char *root, bool v2, char *out, size_t cap)
{
    char line[PATH_MAX + 256];
    bool found = false;

    if ((size_t)snprintf(line, sizeof line, "%s/proc/self/cgroup", root) >= sizeof line)
        return false;
    FILE *f = fopen(line, "r");
    if (!f)
        return false;
    while (!found && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(++controllers, ':') : NULL;
        if (!path)
            continue;
        *path++ = 0;
        if (v2 ? strncmp(line, "0:", 2) == 0 && !controllers[0] : has_word(controllers, "cpu"))
            found = (size_t)snprintf(out, cap, "%s", path) < cap;
    }
    fclose(f);
    return found;
}

/* Where that hierarchy is mounted, and which group of it is the mount's root: inside a container the group that
 * /proc/self/cgroup names may lie above what is mounted. Lines of mountinfo read
 * "id parent major:minor root mount-point options [tags] - type source super-options". */
static bool group_mount(const char *root, bool v2, char *mount, char *mount_root, size_t cap)
{
    char line[3 * PATH_MAX], type[32], options[512];
    bool found = false;

    if ((size_t)snprintf(line, sizeof line, "%s/proc/self/mountinfo", root) >= sizeof line)
        return false;
    FILE *f = fopen(line, "r");
    if (!f)
        return false;
    while (!found && fgets(line, sizeof line, f)) {
        const char *tail = strstr(line, " - ");
        if (!tail || sscanf(tail, " - %31s %*s %511s", type, options) != 2)
            continue;
        if (v2 ? strcmp(type, "cgroup2") != 0 : strcmp(type, "cgroup") != 0 || !has_word(options, "cpu"))
            continue;
        char where[PATH_MAX], at[PATH_MAX];
        if (sscanf(line, "%*s %*s %*s %4095s %4095s", at, where) == 2)
            found = (size_t)snprintf(mount, cap, "%s%s", root, where) < cap &&
                    (size_t)snprintf(mount_root, cap, "%s", at) < cap;
    }
    fclose(f);
    return found;
}

/* The smallest limit of the process' group and those above it up to the mount point, 0: none. */
static double walk(const char *root, bool v2)
{
    char path[PATH_MAX], mount[PATH_MAX], mount_root[PATH_MAX], dir[2 * PATH_MAX];
    double least = 0;

    if (!group_path(root, v2, path, sizeof path) || !group_mount(root, v2, mount, mount_root, sizeof mount))
        return 0;
    size_t skip = strcmp(mount_root, "/") == 0 ? 0 : strlen(mount_root);
    bool below = strncmp(path, mount_root, skip) == 0 && (path[skip] == '/' || path[skip] == 0);
    snprintf(dir, sizeof dir, "%s%s", mount, below ? path + skip : "");
    size_t top = strlen(mount);
    for (;;) {
        while (strlen(dir) > top && dir[strlen(dir) - 1] == '/')
            dir[strlen(dir) - 1] = 0;
        double limit = v2 ? limit_v2(dir) : limit_v1(dir);
        if (limit > 0 && (least == 0 || limit < least))
            least = limit;
        if (strlen(dir) <= top)
            return least;
        *strrchr(dir, '/') = 0;
    }
}

double prism_quota_cpus(const char *root)
{
    double v2 = walk(root, true), v1 = walk(root, false);

    return v2 == 0 || (v1 > 0 && v1 < v2) ? v1 : v2;
}
