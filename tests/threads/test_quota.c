/* CPU quotas of control groups, read from a made-up /proc and /sys below a temporary directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "src/threads/placement.h"
#include "tests/support/data.h"

#define MAX_FILES 8

static const struct quota_case {
    const char *why;
    double cpus;
    const char *file[MAX_FILES][2]; /* path below the root, content */
} cases[] = {
    { "nothing mounted, no files", 0, { { "proc/self/cgroup", "" } } },
    { "v2: 1.5 processors in a container's own namespace",
      1.5,
      { { "proc/self/cgroup", "0::/\n" },
        { "proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate\n" },
        { "sys/fs/cgroup/cpu.max", "150000 100000\n" } } },
    { "v2: no limit",
      0,
      { { "proc/self/cgroup", "0::/user.slice/app.scope\n" },
        { "proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw\n" },
        { "sys/fs/cgroup/user.slice/app.scope/cpu.max", "max 100000\n" } } },
    { "v2: the smallest of the group and its parents counts",
      2.5,
      { { "proc/self/cgroup", "0::/a/b/c\n" },
        { "proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 23 0:26 / /cg rw - cgroup2 none rw\n" },
        { "cg/a/cpu.max", "500000 200000\n" },
        { "cg/a/b/cpu.max", "800000 200000\n" },
        { "cg/a/b/c/cpu.max", "max 100000\n" } } },
    { "v1: quota above the process' group, hybrid mounts",
      3,
      { { "proc/self/cgroup", "3:cpuset:/x\n2:cpu,cpuacct:/kubepods/pod7\n1:name=systemd:/\n0::/\n" },
        { "proc/self/mountinfo", "33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
                                 "34 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
                                 "35 31 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n" },
        { "sys/fs/cgroup/cpu,cpuacct/kubepods/cpu.cfs_quota_us", "300000\n" },
        { "sys/fs/cgroup/cpu,cpuacct/kubepods/cpu.cfs_period_us", "100000\n" },
        { "sys/fs/cgroup/cpu,cpuacct/kubepods/pod7/cpu.cfs_quota_us", "-1\n" },
        { "sys/fs/cgroup/cpu,cpuacct/kubepods/pod7/cpu.cfs_period_us", "100000\n" } } },
    { "v1: the container sees only its own group, mounted as root",
      0.5,
      { { "proc/self/cgroup", "4:cpuacct,cpu:/docker/3f2a\n" },
        { "proc/self/mountinfo", "34 31 0:31 /docker/3f2a /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpuacct,cpu\n" },
        { "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "25000\n" },
        { "sys/fs/cgroup/cpu/cpu.cfs_period_us", "50000\n" } } },
    { "v1: a group inside what the container sees",
      0.25,
      { { "proc/self/cgroup", "4:cpu:/docker/3f2a/job\n" },
        { "proc/self/mountinfo", "34 31 0:31 /docker/3f2a /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n" },
        { "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n" },
        { "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n" },
        { "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "25000\n" },
        { "sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n" } } },
    { "damaged files limit nothing",
      0,
      { { "proc/self/cgroup", "0::/\nnonsense\n::\n" },
        { "proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\nx\n - cgroup2\n" },
        { "sys/fs/cgroup/cpu.max", "150000 0\n" } } },
};

static void write_file(const char *root, const char *rel, const char *text)
{
    char path[1024];

    snprintf(path, sizeof path, "%s/%s", root, rel);
    for (char *p = path + strlen(root) + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        mkdir(path, 0700);
        *p = '/';
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void quotas(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char root[512];

        snprintf(root, sizeof root, "%s/%zu", test_tmp_dir(), i);
        mkdir(root, 0700);
        for (int f = 0; f < MAX_FILES && cases[i].file[f][0]; f++)
            write_file(root, cases[i].file[f][0], cases[i].file[f][1]);
        double got = prism_quota_cpus(root);
        if (got != cases[i].cpus) /* exact: quotients of small integers that a double holds */
            fail_msg("%s: %g processors, expected %g", cases[i].why, got, cases[i].cpus);
    }
}

static void absent_root(void **state)
{
    (void)state;
    assert_true(prism_quota_cpus("/nonexistent") == 0);
    assert_true(prism_quota_cpus("") >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quotas),
        cmocka_unit_test(absent_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
