/* cgroup.c - limits of control groups, both versions, also mounted side by side: see cgroup.h.
 *
 * A group's files lie in a folder that two files of the kernel name together:
 *
 *     /proc/self/cgroup     4:memory:/docker/f00/child               the group, in its hierarchy
 *     /proc/self/mountinfo  .. /docker/f00 /sys/fs/cgroup/memory ..  what is mounted from it, where
 *          --> /sys/fs/cgroup/memory/child, and every folder above it up to the mount point
 *
 * A limit holds for all groups below it, so each of these folders is asked and the least counts.
 * Within a namespace both paths begin at the namespace's own root and may lead out of it by /.. :
 * a mount shows this process's groups only when its root is the group or one above it. Where the
 * names between are hidden, the mount point alone can be asked.
 *
 *                  version 1 (fstype cgroup)                     version 2 (cgroup2)
 *     processors   cpu.cfs_quota_us / cpu.cfs_period_us          cpu.max: "quota period"
 *     memory       memory.limit_in_bytes, and in memory.stat     memory.max, memory.high
 *                  hierarchical_memory_limit: the least above
 *     in use       memory.usage_in_bytes                         memory.current
 *
 * In use counts the page cache, which the kernel gives up before it kills anybody: what
 * memory.stat calls inactive_file and active_file is taken off, except for what is mapped
 * (programs and libraries, which would be read in again at once).
 *
 * Sources: cgroups(7), proc(5), Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst
 * of Linux.
 *
 * Not here: ulimits and affinity (limits.c), swap, cpusets (affinity has them in it). */
#include "kernels/cgroup.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { PATH = 4096, LINE = 3 * PATH };
/* Version 1 writes LONG_MAX in whole pages for none. */
static const uint64_t no_limit = UINT64_C(1) << 62;

/* ---- small files ----------------------------------------------------------------------------- */

static FILE *open_in(const char *folder, const char *name)
{
    char path[PATH + 64];
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    return n > 0 && (size_t)n < sizeof path ? fopen(path, "re") : NULL;
}

/* The next line, without its end; longer ones are left out. false: there is none. */
static bool next_line(char line[LINE], FILE *f)
{
    while (fgets(line, LINE, f)) {
        size_t n = strlen(line);
        if (n && line[n - 1] == '\n') {
            line[n - 1] = 0;
            return true;
        }
        if (n + 1 < LINE) return true; /* the last one may lack its end */
        int c = 0;
        while (c != '\n' && c != EOF) c = fgetc(f);
    }
    return false;
}

/* A whole number of digits alone, which ends at one of `ends` or with the text; *text then stands
 * there. */
static bool number(uint64_t *value, const char **text, const char *ends)
{
    const char *p = *text;
    uint64_t x = 0;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (x > (UINT64_MAX - 9) / 10) return false;
        x = 10 * x + (uint64_t)(*p - '0');
    }
    if (p == *text || (*p && !strchr(ends, *p))) return false;
    *value = x;
    *text = p;
    return true;
}

static bool read_number(uint64_t *value, const char *folder, const char *name)
{
    char line[LINE];
    const char *text = line;
    FILE *f = open_in(folder, name);
    bool found = f && next_line(line, f) && number(value, &text, " ");
    if (f) fclose(f);
    return found;
}

/* The number behind one of memory.stat's names. */
static bool read_stat(uint64_t *value, const char *folder, const char *name)
{
    char line[LINE];
    const size_t n = strlen(name);
    bool found = false;
    FILE *f = open_in(folder, "memory.stat");
    while (f && !found && next_line(line, f)) {
        const char *text = line + n + 1;
        found = strncmp(line, name, n) == 0 && line[n] == ' ' && number(value, &text, "");
    }
    if (f) fclose(f);
    return found;
}

/* ---- where the groups are -------------------------------------------------------------------- */

/* Whether `word` is among those of a list with commas between. */
static bool listed(const char *list, const char *word)
{
    const size_t n = strlen(word);
    for (; list; list = strchr(list, ',') ? strchr(list, ',') + 1 : NULL)
        if (strncmp(list, word, n) == 0 && (list[n] == 0 || list[n] == ',')) return true;
    return false;
}

/* The process's group in one hierarchy: controller "" is version 2's. */
static bool own_group(char group[PATH], const char *root, const char *controller)
{
    char line[LINE];
    bool found = false;
    FILE *f = open_in(root, "proc/self/cgroup");
    while (f && !found && next_line(line, f)) {
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path) continue;
        *path++ = 0;
        found = *controller ? listed(controllers + 1, controller) : strcmp(line, "0:") == 0;
        found = found && path[0] == '/' && strlen(path) < PATH;
        if (found) strcpy(group, path);
    }
    if (f) fclose(f);
    return found;
}

struct mount {
    char *root, *point; /* within the hierarchy; where it is mounted */
    bool v2;
    const char *controllers; /* version 1: among other options, with commas between */
};

/* \040 and the like, in place: mountinfo writes spaces, tabs, line ends and backslashes so. */
static void unescape(char *text)
{
    char *out = text;
    for (const char *p = text; *p; out++) {
        bool octal = p[0] == '\\';
        for (int i = 1; octal && i <= 3; i++) octal = p[i] >= '0' && p[i] <= (i == 1 ? '3' : '7');
        *out = octal ? (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0')) : *p;
        p += octal ? 4 : 1;
    }
    *out = 0;
}

/* "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate": the line is cut into pieces. */
static bool parse_mount(struct mount *m, char *line)
{
    char *words[6], *rest = line, *dash = strstr(line, " - ");
    if (!dash) return false;
    *dash = 0;
    for (int i = 0; i < 6; i++)
        if (!(words[i] = strtok_r(i ? NULL : line, " ", &rest))) return false;
    char *type = strtok_r(dash + 3, " ", &rest), *source = type ? strtok_r(NULL, " ", &rest) : NULL;
    const char *options = source ? strtok_r(NULL, " ", &rest) : NULL;
    if (!type || (strcmp(type, "cgroup") != 0 && strcmp(type, "cgroup2") != 0)) return false;
    *m = (struct mount){words[3], words[4], type[6] == '2', options ? options : ""};
    unescape(m->root);
    unescape(m->point);
    return m->root[0] == '/' && m->point[0] == '/' && !strstr(m->point, "/..");
}

/* Takes the leading "/.." off; returns how many there were. */
static int climbs(const char **path)
{
    int n = 0;
    while (strncmp(*path, "/..", 3) == 0 && ((*path)[3] == '/' || (*path)[3] == 0)) {
        *path += 3;
        n++;
    }
    if (strcmp(*path, "/") == 0) *path += 1;
    return n;
}

/* The folder of the group below the mount point: "" or "/a/b". NULL: the mount does not show it. */
static const char *group_below(const char *mount_root, const char *group)
{
    const int up = climbs(&mount_root), own_up = climbs(&group);
    const size_t n = strlen(mount_root);
    if (strstr(mount_root, "/..") || strstr(group, "/..")) return NULL;
    if (up > own_up) return n ? NULL : ""; /* one above, by names that the namespace hides */
    if (up < own_up || strncmp(group, mount_root, n) != 0) return NULL;
    return group[n] == 0 || group[n] == '/' ? group + n : NULL;
}

/* One folder of a group; own: the process is in it, else in one below. name: the folder's as seen
 * from `root`. */
typedef void visit(void *user, const char *folder, const char *name, bool v2, bool own);

static void visit_mount(const struct mount *m, const char *root, const char *controller, visit *see, void *user)
{
    char group[PATH], folder[2 * PATH];
    const char *below = NULL;
    if (!m->v2 && !listed(m->controllers, controller)) return;
    if (own_group(group, root, m->v2 ? "" : controller)) below = group_below(m->root, group);
    if (!below) return;
    const int top = snprintf(folder, sizeof folder, "%s%s", root, strcmp(m->point, "/") == 0 ? "" : m->point);
    if (top < 0 || (size_t)top + strlen(below) >= PATH) return;
    strcpy(folder + top, below);
    for (bool own = true;; own = false) {
        see(user, folder, folder + strlen(root), m->v2, own);
        char *slash = strrchr(folder + top, '/');
        if (!slash) break;
        *slash = 0;
    }
}

static void visit_groups(const char *root, const char *controller, visit *see, void *user)
{
    char line[LINE];
    struct mount m;
    FILE *f = open_in(root, "proc/self/mountinfo");
    while (f && next_line(line, f))
        if (parse_mount(&m, line)) visit_mount(&m, root, controller, see, user);
    if (f) fclose(f);
}

/* ---- processors ------------------------------------------------------------------------------ */

static bool read_quota(uint64_t *quota, uint64_t *period, const char *folder, bool v2)
{
    char line[LINE];
    const char *text = line;
    if (!v2) return read_number(quota, folder, "cpu.cfs_quota_us") && read_number(period, folder, "cpu.cfs_period_us");
    FILE *f = open_in(folder, "cpu.max");
    bool found = f && next_line(line, f) && number(quota, &text, " ") && *text++ == ' ' && number(period, &text, "");
    if (f) fclose(f);
    return found;
}

static void see_quota(void *user, const char *folder, const char *name, bool v2, bool own)
{
    (void)name, (void)own;
    int *least = user;
    uint64_t quota, period;
    if (!read_quota(&quota, &period, folder, v2) || quota == 0 || period == 0) return;
    uint64_t n = quota / period + (quota % period != 0);
    if (n < INT_MAX && (*least == 0 || (int)n < *least)) *least = (int)n;
}

int kern_cgroup_processors(const char *root)
{
    int least = 0;
    visit_groups(root, "cpu", see_quota, &least);
    return least;
}

/* ---- memory ---------------------------------------------------------------------------------- */

struct found {
    struct kern_memory memory;
    bool limited;
};

static uint64_t minus(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* What of the group's memory cannot be reclaimed. */
static uint64_t read_used(const char *folder, bool v2)
{
    uint64_t used = 0, inactive = 0, active = 0, mapped = 0;
    if (!read_number(&used, folder, v2 ? "memory.current" : "memory.usage_in_bytes")) return 0;
    read_stat(&inactive, folder, v2 ? "inactive_file" : "total_inactive_file");
    read_stat(&active, folder, v2 ? "active_file" : "total_active_file");
    read_stat(&mapped, folder, v2 ? "file_mapped" : "total_mapped_file");
    if (inactive > used || active > used - inactive) return used; /* no true figures */
    return used - minus(inactive + active, mapped);
}

static void see_limit(struct found *f, const char *folder, const char *name, const char *file, uint64_t limit, bool v2)
{
    const uint64_t used = read_used(folder, v2), left = minus(limit, used);
    if (limit >= no_limit || (f->limited && left >= f->memory.left)) return;
    f->limited = true;
    f->memory = (struct kern_memory){.limit = limit, .used = used, .left = left};
    snprintf(f->memory.from, sizeof f->memory.from, "%.200s/%s", name, file);
}

static void see_memory(void *user, const char *folder, const char *name, bool v2, bool own)
{
    static const char *const files[2][2] = {{"memory.limit_in_bytes", NULL}, {"memory.max", "memory.high"}};
    uint64_t limit;
    for (int i = 0; i < 2 && files[v2][i]; i++)
        if (read_number(&limit, folder, files[v2][i])) see_limit(user, folder, name, files[v2][i], limit, v2);
    /* Groups above the mount are seen by this figure alone. */
    if (!v2 && own && read_stat(&limit, folder, "hierarchical_memory_limit"))
        see_limit(user, folder, name, "memory.stat", limit, v2);
}

bool kern_cgroup_memory(struct kern_memory *memory, const char *root)
{
    struct found f = {.limited = false};
    visit_groups(root, "memory", see_memory, &f);
    if (f.limited) *memory = f.memory;
    return f.limited;
}
