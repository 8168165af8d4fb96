/* Fills and loops of layers shared among POSIX threads, compared with one thread: teams [SET]. Prints how many of them
   were tried and how many differ. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "layers/crew.h"
#include "team.h"

enum { MOST = 7 * CF_CHUNK / 2, LARGEST_TEAM = 5, HANDS = 4, ITEMS = 1000, LOOPS = 300 };

typedef struct {
    pthread_mutex_t mutex;
    pthread_cond_t released;
    int held;
} lock;

static void acquire(void *of) {
    lock *lock = of;
    pthread_mutex_lock(&lock->mutex);
    while (lock->held)
        pthread_cond_wait(&lock->released, &lock->mutex);
    lock->held = 1;
    pthread_mutex_unlock(&lock->mutex);
}

static void release(void *of) {
    lock *lock = of;
    pthread_mutex_lock(&lock->mutex);
    lock->held = 0;
    pthread_cond_signal(&lock->released);
    pthread_mutex_unlock(&lock->mutex);
}

static int to_be_had; /* so many threads */

static struct task {
    void (*work)(void *);
    void *of;
} tasks[64]; /* more than a round starts, so that none is overwritten before its thread has read it */

static void *run(void *of) {
    const struct task task = *(const struct task *)of;
    task.work(task.of);
    return NULL;
}

static int start(void (*work)(void *), void *of) {
    static size_t next;
    struct task *task = &tasks[next++ % 64];
    pthread_t thread;
    if (to_be_had == 0)
        return 0;
    --to_be_had;
    *task = (struct task){work, of};
    return pthread_create(&thread, NULL, run, task) == 0 && pthread_detach(thread) == 0;
}

static int here(void) { return 0; }

static void keep_off(int processor) { (void)processor; }

static const cf_threads threads = {acquire, release, start, here, keep_off};

static int differs(const cf_job *job, const cf_simd *simd, size_t size, size_t n, uint64_t skipped) {
    static _Alignas(64) char scratch[LARGEST_TEAM * 2 * (CF_CHUNK + 2) * sizeof(double)];
    static double expected[MOST + 1], got[MOST + 1];
    static lock locks[2 * LARGEST_TEAM];
    static cf_team team;
    const size_t width = job->wide ? sizeof(double) : sizeof(float);
    cf_mt one, many;
    memset(&team, 0, sizeof team);
    memset(expected, 7, sizeof expected);
    memset(got, 7, sizeof got);
    team.scratch = scratch;
    for (size_t i = 0; i < 2 * size; ++i) {
        locks[i] = (lock){PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
        *(i % 2 ? &team.member[i / 2].turn : &team.member[i / 2].ended) = &locks[i];
    }
    cf_mt_seed(&one, (uint32_t)n, simd);
    cf_mt_skip(&one, skipped);
    many = one;
    cf_run(job, &one, expected, n, CF_ANY);
    cf_team_gather(&team, size, job, &threads);
    cf_team_fill(&team, &many, got, n);
    for (size_t i = 0; i < 2 * size; ++i)
        if (!locks[i].held)
            return 1;
    return cf_team_scratch(job, size) > sizeof scratch || memcmp(expected, got, (n + 1) * width) ||
           one.pos != many.pos || one.drawn != many.drawn || memcmp(one.key, many.key, CF_MT_N * sizeof *one.key);
}

static pthread_t caller;
static int pause_of_hands; /* milliseconds, so that the caller has to sleep until they are done */

static void pause_for(int milliseconds) {
    const struct timespec time = {0, milliseconds * 1000000L};
    nanosleep(&time, NULL);
}

static void count(const void *of, size_t begin, size_t end) {
    int *counts = *(int *const *)of;
    for (size_t i = begin; i < end; ++i)
        ++counts[i];
    if (pause_of_hands && !pthread_equal(pthread_self(), caller))
        pause_for(pause_of_hands);
}

/* Loops one after another, some of them after the hands fell asleep. Each has to pass over each of its items once. */
static int loops_that_differ(size_t hands) {
    static cf_crew crews[HANDS + 1];
    static lock locks[HANDS + 1][2 * HANDS];
    static int counts[ITEMS];
    int *const to = counts, *const *const of = &to;
    cf_crew *crew = &crews[hands];
    int failed = 0;
    caller = pthread_self();
    crew->threads = &threads;
    to_be_had = (int)hands;
    for (size_t i = 0; i < HANDS; ++i) {
        locks[hands][2 * i] = locks[hands][2 * i + 1] =
            (lock){PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 1};
        crew->hand[i].turn = &locks[hands][2 * i];
        crew->hand[i].ended = &locks[hands][2 * i + 1];
        failed += cf_crew_join(crew) != (i < hands);
    }
    for (int i = 0; i < LOOPS; ++i) {
        const size_t items = i % 7 == 3 ? (size_t)i % 5 : ITEMS;
        memset(counts, 0, sizeof counts);
        if (i % 50 == 10)
            pause_for(20);
        pause_of_hands = i % 60 == 20 ? 20 : 0;
        cf_crew_share(crew, HANDS, count, of, items);
        for (size_t j = 0; j < ITEMS; ++j)
            if (counts[j] != (j < items)) {
                ++failed;
                break;
            }
    }
    return failed;
}

int main(int argc, char **argv) {
    static const size_t lengths[] = {1, CF_CHUNK, CF_CHUNK + 1, MOST};
    const cf_simd *simd = cf_simd_find(argc > 1 ? argv[1] : NULL);
    int tried = 0, failed = 0;
    if (!simd)
        return 77;
    for (size_t hands = 0; hands <= HANDS; ++hands) {
        failed += loops_that_differ(hands);
        tried += LOOPS;
    }
    printf("%d loops by crews, %d differ\n", tried, failed);
    tried = 0;
    for (int i = 0; i < 3 * 2 * 3 * 4 * 4; ++i) {
        const int narrow = i % 4 == 3; /* half the draws are rejected, so there are many rounds */
        cf_job job = {
            .kind = (cf_kind)(i / 16 % 3), .wide = i / 48 % 2, .boost = (cf_boost)(i / 96), .sigma = 1, .p = 0.3};
        const size_t size = 2 + (size_t)i % 4;
        cf_range_of_f32(&job.range_f32, 0.5f, narrow ? 0.5f : 1, job.boost);
        cf_range_of_f64(&job.range_f64, 0.5, narrow ? 0.5 : 1, job.boost);
        job.nontemporal = i % 5 == 0;
        to_be_had = i % 3 ? 1 << 20 : i % 5;
        failed += differs(&job, simd, size, lengths[i / 4 % 4], (uint64_t)i);
        ++tried;
    }
    printf("%s: %d fills by teams, %d differ\n", simd->name, tried, failed);
    return failed;
}
