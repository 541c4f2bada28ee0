/* kill_serve.c - `make kill-serve`: rudd-serve under load, with itself, its PostgreSQL or its Redis killed (kill -9) again and again.
 *
 *     kill_serve [KILLS [SEED]]          20 kills of each by default
 *
 *     rudd-serve --store FILE             the server is killed, started again on the same port
 *     rudd-serve --cache redis://         Redis is killed and started again, while the server keeps nothing in its own memory
 *     rudd-serve --store postgresql://    the server is killed; then PostgreSQL is, with all of its processes, and started again
 *
 * Meanwhile clients predict and give feedback. Every answer is right; while the server lives, none fails. In the end every feedback that was
 * acknowledged is in the database, none twice, and the spool is empty; that it gets there without help is part of the claim. PostgreSQL is started here, in a temporary folder on a socket of its own,
 * as an unprivileged user; without its programs, or Redis', that part is left out, and said so. The disk survives: a kill is no power cut. */
#define _GNU_SOURCE
#include "data/store/where.h"
#include "serve/store_sql.h"
#include "tests/real_redis.h"
#include "tests/serve_fish.h"
#include <glob.h>
#include <grp.h>
#include <limits.h>
#include <pthread.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>

enum { CLIENTS = 4, MOST = 1 << 20, FEEDBACKS = 5 /* between two kills, at least */ };
static int kills = 20;
static char port_text[32], store[400], postgres_bin[PATH_MAX];
static float expected[PICTURES][CLASSES];
static pid_t server, postgres, redis;
static int port, redis_port;
static char cache[64]; /* the Redis' URL; "": none */

/* ---- processes --------------------------------------------------------------------------------------------------------------------- */

/* Starts argv[0] with its output in the file out.log of the folder; as PostgreSQL's user, when this program is root. */
static pid_t start(char *const argv[], bool unprivileged)
{
    const struct passwd *user = getpwnam("postgres") ? getpwnam("postgres") : getpwnam("nobody");
    char log[300];
    snprintf(log, sizeof log, "%s/out.log", folder);
    pid_t pid = fork();
    if (pid) return pid;
    setpgid(0, 0);
    if (!freopen(log, "a", stdout) || dup2(1, 2) < 0) _exit(127);
    if (unprivileged && geteuid() == 0 && (!user || setgroups(0, NULL) || setgid(user->pw_gid) || setuid(user->pw_uid)))
        _exit(127);
    execv(argv[0], argv);
    _exit(127);
}

static int finish(pid_t pid)
{
    int status = -1;
    waitpid(pid, &status, 0);
    return status;
}

static void start_server(void)
{
    static char binary[PATH_MAX];
    server_binary(binary, sizeof binary);
    char *argv[] = {binary,        "--model", model_path, "--listen", port_text,         "--store", store,
                    "--spool-max", "64M",     "--cache",  cache,      "--cache-entries", "0",       NULL};
    if (!*cache) argv[9] = NULL;
    server = start(argv, false);
}

static void start_redis(void)
{
    redis = real_redis_start(redis_port, NULL);
}

/* What it left in shared memory may keep a new one from starting for a moment. */
static void start_postgres(void)
{
    char binary[PATH_MAX + 20], data[300];
    snprintf(binary, sizeof binary, "%s/postgres", postgres_bin);
    snprintf(data, sizeof data, "%s/pg/data", folder);
    char sockets[300];
    snprintf(sockets, sizeof sockets, "%s/pg", folder);
    for (int i = 0; i < 50; i++) {
        postgres = start((char *[]){binary, "-D", data, "-k", sockets, "-c", "listen_addresses=", NULL}, true);
        pause_ms(200);
        if (waitpid(postgres, NULL, WNOHANG) == 0) return;
    }
}

/* kill -9 for a process and its children: PostgreSQL's are in groups of their own. */
static void kill_all(pid_t pid)
{
    char path[64], text[4000] = "";
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *f = fopen(path, "r");
    if (f) {
        text[fread(text, 1, sizeof text - 1, f)] = 0;
        fclose(f);
    }
    kill(pid, SIGKILL);
    for (char *at = text, *end; *at; at = end) {
        long child = strtol(at, &end, 10);
        if (end == at) break;
        if (child > 0) kill((pid_t)child, SIGKILL);
    }
}

/* A PostgreSQL of our own, new; false: its programs are not here. */
static bool make_postgres(void)
{
    char pg[300], data[320], binary[PATH_MAX + 20];
    const struct passwd *user = getpwnam("postgres") ? getpwnam("postgres") : getpwnam("nobody");
    glob_t found;
    if (glob("/usr/lib/postgresql/*/bin", 0, NULL, &found) == 0) {
        snprintf(postgres_bin, sizeof postgres_bin, "%s", found.gl_pathv[found.gl_pathc - 1]);
        globfree(&found);
    }
    snprintf(binary, sizeof binary, "%s/initdb", postgres_bin);
    if (access(binary, X_OK)) return false;
    snprintf(pg, sizeof pg, "%s/pg", folder);
    snprintf(data, sizeof data, "%s/data", pg);
    chmod(folder, 0755);
    if (mkdir(pg, 0700) || (geteuid() == 0 && user && chown(pg, user->pw_uid, user->pw_gid))) return false;
    pid_t pid = start((char *[]){binary, "-D", data, "-U", "rudd", "-A", "trust", "-E", "UTF8", "--no-sync", NULL}, true);
    if (finish(pid)) return false;
    start_postgres();
    return true;
}

/* ---- what the server says ----------------------------------------------------------------------------------------------------------- */

/* Until the server is ready, its store up and the spool empty, and Redis asked, if there is one: at most a minute. */
static bool recovered(void)
{
    for (int i = 0; i < 600; i++) {
        if (metric(port, "rudd_ready") == 1 && metric(port, "rudd_store_up") == 1 &&
            metric(port, "rudd_cache_up{tier=\"redis\"}") != 0)
            return true;
        pause_ms(100);
    }
    return false;
}

/* ---- the load --------------------------------------------------------------------------------------------------------------------- */

static char (*acknowledged)[2][33];                       /* the feedback's id, the prediction's */
static atomic_int count, spooled, refused, failed, wrong; /* feedbacks; predictions */
static atomic_bool stopping;

static void copy_text(char to[33], json_t *root, const char *key)
{
    const char *text = json_string_value(json_object_get(root, key));
    snprintf(to, 33, "%s", text ? text : "");
}

/* Predicts, then says what it was; counts only what was acknowledged. */
static void *client(void *arg)
{
    static const char *const labels[] = {"pike", "perch", "roach"};
    unsigned seed = *(unsigned *)arg;
    while (!stopping) {
        const int which = (int)(rand_r(&seed) % PICTURES);
        const struct text *picture = &pictures[which];
        char id[33] = "", feedback[33] = "", body[200], status[33] = "";
        struct answer a = post(port, "/predict", "image/png", picture->data, picture->length);
        json_t *root = a.code == 200 ? json_loads(a.body, 0, NULL) : NULL;
        copy_text(id, root, "prediction_id");
        failed += !*id;
        wrong += *id && !is_right(&a, expected[which]);
        json_decref(root);
        answer_free(&a);
        if (!*id) {
            pause_ms(20);
            continue;
        }
        snprintf(body, sizeof body, "{\"prediction_id\":\"%s\",\"label\":\"%s\"}", id, labels[rand_r(&seed) % 3]);
        a = post(port, "/feedback", "application/json", body, strlen(body));
        root = a.code == 200 ? json_loads(a.body, 0, NULL) : NULL;
        copy_text(feedback, root, "feedback_id");
        copy_text(status, root, "status");
        json_decref(root);
        if (!*feedback) refused++;
        answer_free(&a);
        if (!*feedback || count >= MOST - CLIENTS) continue;
        spooled += !strcmp(status, "spooled");
        int i = count++;
        memcpy(acknowledged[i][0], feedback, 33);
        memcpy(acknowledged[i][1], id, 33);
    }
    return NULL;
}

/* ---- the verdict -------------------------------------------------------------------------------------------------------------------- */

static enum rudd_status collect(void *user, const struct serve_sql_value *columns, struct rudd_error *err)
{
    (void)err;
    struct text *t = user;
    text_add(t, serve_sql_get_text(&columns[0]), 32);
    return RUDD_OK;
}

static enum rudd_status read_number(void *user, const struct serve_sql_value *columns, struct rudd_error *err)
{
    (void)err;
    *(int64_t *)user = columns[0].integer;
    return RUDD_OK;
}

static int64_t number(struct serve_sql *sql, const char *text)
{
    int64_t n = -1;
    serve_sql_run(sql, text, NULL, 0, read_number, &n, NULL);
    return n;
}

static int by_id(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

/* Whether every acknowledged feedback is there, and nothing twice. */
static bool judge(const char *what)
{
    struct rudd_error err = {RUDD_OK, ""};
    struct serve_sql *sql = NULL;
    struct text ids = {0};
    int lost = 0;
    if (data_store_is_url(store) ? serve_postgres_open(&sql, store, 10000, &err)
                                 : serve_sqlite_open(&sql, store, 10000, &err)) {
        printf("%s: %s\n", what, err.message);
        return false;
    }
    serve_sql_run(sql, "SELECT id FROM feedback", NULL, 0, collect, &ids, &err);
    qsort(ids.data, ids.length / 32, 32, by_id);
    for (int i = 0; i < count; i++) lost += !bsearch(acknowledged[i][0], ids.data, ids.length / 32, 32, by_id);
    int64_t twice = number(sql, "SELECT COUNT(*) - COUNT(DISTINCT prediction_id) FROM feedback");
    int64_t orphans =
        number(sql, "SELECT COUNT(*) FROM feedback f LEFT JOIN predictions p ON p.id = f.prediction_id WHERE p.id IS NULL");
    int64_t predictions = number(sql, "SELECT COUNT(*) FROM predictions");
    printf("%s: %d feedback acknowledged (%d by the spool), %d refused or cut off; %zu rows there, %d lost, %lld twice, %lld "
           "without "
           "their prediction; %lld predictions\n",
           what, (int)count, (int)spooled, (int)refused, ids.length / 32, lost, (long long)twice, (long long)orphans,
           (long long)predictions);
    free(ids.data);
    serve_sql_close(sql);
    return !lost && twice == 0 && count >= kills * FEEDBACKS;
}

/* `kills` kills of *victim, which `again` starts anew. */
static bool kill_often(const char *what, pid_t *victim, void (*again)(void))
{
    pthread_t threads[CLIENTS];
    unsigned seeds[CLIENTS];
    double slowest = 0;
    bool good;
    stopping = false;
    failed = wrong = 0;
    good = recovered();
    for (int i = 0; i < CLIENTS; i++) {
        seeds[i] = (unsigned)rand();
        pthread_create(&threads[i], NULL, client, &seeds[i]);
    }
    for (int i = 0; i < kills && good; i++) {
        /* Under load: some feedback has come through since the last kill, however slow this machine is. */
        for (int had = count, ms = 0; count < had + FEEDBACKS && ms < 60000; ms += 10) pause_ms(10);
        pause_ms(rand() % 1000);
        kill_all(*victim);
        finish(*victim);
        if (victim != &server) pause_ms(rand() % 1000); /* away for a while */
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        again();
        good = recovered();
        clock_gettime(CLOCK_MONOTONIC, &to);
        double seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
        if (seconds > slowest) slowest = seconds;
        if (!good) printf("%s: not back a minute after kill %d\n", what, i + 1);
    }
    stopping = true;
    for (int i = 0; i < CLIENTS; i++) pthread_join(threads[i], NULL);
    good = good && recovered() && metric(port, "rudd_store_spool_rows") == 0;
    printf("%s: %d kills, back after at most %.1f s; %d predictions failed, %d wrong\n", what, kills, slowest, (int)failed,
           (int)wrong);
    return good && !wrong && (victim == &server || !failed);
}

static void stop_server(void)
{
    kill(server, SIGTERM);
    finish(server);
}

int main(int argc, char **argv)
{
    unsigned seed = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
    bool good = true;
    if (argc > 1) kills = atoi(argv[1]);
    srand(seed);
    setvbuf(stdout, NULL, _IOLBF, 0);
    acknowledged = calloc(MOST, sizeof *acknowledged);
    if (!acknowledged) return 1;
    make_fish("kill-serve");
    predict_fish(expected);
    snprintf(store, sizeof store, "%s/store.sqlite", folder);
    /* Ports that are free now, for all of the servers to come. */
    struct server first = server_start(model_path, "--store", "none", NULL),
                  second = server_start(model_path, "--store", "none", NULL);
    port = first.port;
    redis_port = second.port;
    server_stop(first);
    server_stop(second);
    snprintf(port_text, sizeof port_text, "127.0.0.1:%d", port);

    printf("%d kills each, seed %u\n", kills, seed);
    start_server();
    good = kill_often("rudd-serve, SQLite", &server, start_server);
    stop_server();
    good = judge("rudd-serve, SQLite") && good;

    start_redis();
    if (redis) {
        snprintf(cache, sizeof cache, "redis://127.0.0.1:%d/1", redis_port);
        start_server();
        good = kill_often("Redis", &redis, start_redis) && good;
        good = metric(port, "rudd_cache_hits_total{tier=\"redis\"}") > kills && good;
        stop_server();
        good = judge("Redis") && good;
        kill(redis, SIGKILL);
        finish(redis);
        *cache = 0;
    } else {
        printf("Redis is not installed here: its part is left out\n");
    }

    count = spooled = refused = 0;
    if (make_postgres()) {
        snprintf(store, sizeof store, "postgresql://rudd@/postgres?host=%s/pg", folder);
        start_server();
        good = kill_often("rudd-serve, PostgreSQL", &server, start_server) && good;
        good = kill_often("PostgreSQL", &postgres, start_postgres) && good;
        stop_server();
        good = judge("PostgreSQL") && good;
        kill(postgres, SIGINT);
        finish(postgres);
    } else {
        printf("PostgreSQL is not installed here: its part is left out\n");
    }
    if (good && remove_fish(NULL)) return 1;
    if (!good) printf("failed; %s is left as it is\n", folder);
    printf("%s\n", good ? "1 passed, 0 failed" : "0 passed, 1 failed");
    return !good;
}
