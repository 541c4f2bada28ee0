/* limit.c - see limit.h. */
#include "serve/limit.h"
#include "serve/siphash.h"
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>

enum { SETS = 1024, WAYS = 8 };

struct bucket {
    uint64_t client; /* hash; 0: free */
    double tokens, at_ms;
};

struct serve_limit {
    pthread_mutex_t mutex;
    double per_ms, burst;
    uint64_t secret[2];
    struct bucket buckets[SETS][WAYS];
};

enum rudd_status serve_limit_create(struct serve_limit **limit, double rate, double burst, struct rudd_error *err)
{
    struct serve_limit *l = rudd_zalloc(1, sizeof *l);
    if (!l) return rudd_fail(err, RUDD_NO_MEMORY, "out of memory for --rate-limit");
    if (getrandom(l->secret, sizeof l->secret, 0) != sizeof l->secret) {
        rudd_free(l);
        return rudd_fail(err, RUDD_IO, "the system gives no random bytes for --rate-limit");
    }
    pthread_mutex_init(&l->mutex, NULL);
    l->per_ms = rate / 1e3;
    l->burst = burst;
    *limit = l;
    return RUDD_OK;
}

void serve_limit_destroy(struct serve_limit *l)
{
    if (!l) return;
    pthread_mutex_destroy(&l->mutex);
    rudd_free(l);
}

static double tokens_at(const struct serve_limit *l, const struct bucket *b, double now_ms)
{
    double tokens = b->client ? b->tokens + (now_ms - b->at_ms) * l->per_ms : l->burst;
    return tokens < l->burst ? tokens : l->burst;
}

double serve_limit_take(struct serve_limit *l, const void *client, size_t n, double now_ms)
{
    uint64_t hash[2];
    serve_siphash(hash, client, n, l->secret);
    hash[0] |= 1; /* never that of a free bucket */
    pthread_mutex_lock(&l->mutex);
    struct bucket *set = l->buckets[hash[1] % SETS], *b = &set[0];
    for (int i = 0; i < WAYS; i++) {
        if (set[i].client == hash[0]) {
            b = &set[i];
            break;
        }
        if (tokens_at(l, &set[i], now_ms) > tokens_at(l, b, now_ms)) b = &set[i];
    }
    if (b->client != hash[0]) *b = (struct bucket){.client = hash[0], .tokens = l->burst, .at_ms = now_ms};
    b->tokens = tokens_at(l, b, now_ms);
    b->at_ms = now_ms;
    double wait_ms = 0;
    if (b->tokens >= 1)
        b->tokens -= 1;
    else
        wait_ms = (1 - b->tokens) / l->per_ms;
    pthread_mutex_unlock(&l->mutex);
    return wait_ms;
}

size_t serve_limit_address(unsigned char name[16], const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        memcpy(name, &((const struct sockaddr_in *)address)->sin_addr, 4);
        return 4;
    }
    if (address->sa_family != AF_INET6) return 0;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
    bool v4 = IN6_IS_ADDR_V4MAPPED(v6);
    memcpy(name, v6->s6_addr + (v4 ? 12 : 0), v4 ? 4 : 8);
    return v4 ? 4 : 8;
}
