#include "team.h"

enum {
    WARM_UP = 2 * CF_MT_N,
    COST_OF_JUMP = 4000000, /* in values that could be filled meanwhile */
    LARGEST_SHARE = 48      /* chunks: a rejection ends the round and wastes the chunks already begun */
};

static const double COST_OF_SKIP = 0.3; /* the time to skip a draw over the time to compute a value */

static int is_direct(const cf_job *job) { return job->kind != CF_GAUSSIAN; }

static size_t itemsize_of(const cf_job *job) { return job->wide ? sizeof(double) : sizeof(float); }

size_t cf_team_scratch(const cf_job *job, size_t size) {
    return is_direct(job) ? 0 : size * 2 * (CF_CHUNK + 2) * itemsize_of(job);
}

void cf_team_gather(cf_team *team, size_t size, const cf_job *job, const cf_threads *threads) {
    team->size = size;
    team->job = *job;
    team->threads = threads;
    team->itemsize = itemsize_of(job);
    team->capacity = CF_CHUNK + 2;
    team->direct = is_direct(job);
    team->all_accepted =
        job->kind == CF_BERNOULLI ||
        (job->kind == CF_UNIFORM && (job->wide ? job->range_f64.last : job->range_f32.last) == UINT32_MAX);
    team->warm_up = job->kind == CF_GAUSSIAN && job->boost != CF_BOOST_147 ? WARM_UP : 0;
    for (size_t i = 0; i < size; ++i) {
        team->member[i].team = team;
        team->member[i].index = i;
        threads->acquire(team->member[i].turn);
        threads->acquire(team->member[i].ended);
    }
}

/* Gives each member its chunks. Later members get smaller ones, since they first skip the draws of the others. */
static void share_out(cf_team *team) {
    double least = (double)team->n / (double)team->size, most = (double)team->n;
    for (int step = 0; step < 30; ++step) {
        const double each = (least + most) / 2;
        double end = 0;
        for (size_t i = 0; i < team->size; ++i) {
            const double skipping = end * COST_OF_SKIP < COST_OF_JUMP ? end * COST_OF_SKIP : COST_OF_JUMP;
            team->edge[i] = (uint64_t)end / CF_MT_N * CF_MT_N;
            end += each > skipping ? each - skipping : 0;
        }
        if (end < (double)team->n)
            least = each;
        else
            most = each;
    }
    team->edge[team->size] = team->n;
}

/* The chunk that a member works on. */
typedef struct {
    uint64_t begin, end; /* in draws from the start of the round */
    cf_mt before, mt;    /* the stream where the chunk's values begin, and where they end */
    char *values;
    size_t count;
} cf_chunk;

/* Goes to the chunk's beginning: skips the draws before it, and draws the last of them where the values must get in
   step. */
static void approach(const cf_team *team, cf_chunk *chunk) {
    const uint64_t origin = team->start.drawn, drawn = chunk->mt.drawn - origin;
    if (chunk->begin == 0)
        return;
    if (drawn + team->warm_up < chunk->begin)
        cf_mt_skip(&chunk->mt, chunk->begin - team->warm_up - drawn);
    if (team->warm_up)
        cf_run(&team->job, &chunk->mt, chunk->values, team->capacity, chunk->begin - (chunk->mt.drawn - origin));
}

/* Draws the values directly into the array. Past the array's end there is nothing to draw. */
static void draw_direct(const cf_team *team, cf_chunk *chunk) {
    const size_t left = chunk->begin < team->n ? team->n - (size_t)chunk->begin : 0;
    if (left > 0)
        approach(team, chunk);
    chunk->before = chunk->mt;
    chunk->values = left > 0 ? team->out + chunk->begin * team->itemsize : NULL;
    chunk->count =
        cf_run(&team->job, &chunk->mt, chunk->values, left, chunk->end - (chunk->mt.drawn - team->start.drawn));
}

/* Draws the values into scratch memory. Meanwhile copies the values of the chunk before, whose place is known now. */
static void draw_aside(const cf_team *team, cf_chunk *chunk, cf_parcel *parcel) {
    approach(team, chunk);
    chunk->before = chunk->mt;
    chunk->count = cf_run_sending(&team->job, &chunk->mt, chunk->values, team->capacity,
                                  chunk->end - (chunk->mt.drawn - team->start.drawn), parcel);
}

/* Called with the token: appends the chunk's values, or ends the round. */
static void join(cf_team *team, cf_chunk *chunk, cf_parcel *parcel) {
    char *const place = team->out + team->filled * team->itemsize;
    const size_t left = team->n - team->filled;
    if (team->done)
        return;
    if (chunk->before.drawn != team->reached.drawn || (team->direct && team->filled != chunk->begin)) {
        team->done = 1;
        return;
    }
    if (!team->direct && chunk->count >= left) {
        /* draw the chunk again, to stop right after the last value */
        team->reached = chunk->before;
        cf_run(&team->job, &team->reached, place, left, CF_ANY);
        team->filled = team->n;
        team->done = 1;
        return;
    }
    if (!team->direct)
        *parcel = (cf_parcel){place, chunk->values, chunk->count * team->itemsize};
    team->filled += chunk->count;
    team->reached = chunk->mt;
    team->done = team->filled == team->n;
}

static void take_chunks(cf_team *team, size_t me) {
    const cf_threads *threads = team->threads;
    cf_chunk chunk = {.begin = team->edge[me], .end = team->edge[me + 1], .mt = team->start};
    cf_parcel parcel = {team->out, team->out, 0};
    for (size_t half = 0;; half = 1 - half) {
        if (team->direct) {
            draw_direct(team, &chunk);
        } else {
            chunk.values = team->scratch + (2 * me + half) * team->capacity * team->itemsize;
            draw_aside(team, &chunk, &parcel);
        }
        threads->acquire(team->member[me].turn);
        join(team, &chunk, &parcel);
        const int done = team->done, last = done && ++team->returned == team->running;
        if (!last)
            threads->release(team->member[(me + 1) % team->size].turn);
        if (done)
            break;
        chunk.begin += team->edge[team->size];
        chunk.end += team->edge[team->size];
    }
    cf_send(&team->job, team->start.simd, &parcel);
}

void cf_leave(const cf_threads *threads, int processor) {
    if (threads->here() == processor)
        threads->keep_off(processor);
}

static void work(void *of) {
    const cf_member *member = of;
    cf_leave(member->team->threads, member->team->caller);
    take_chunks(member->team, member->index);
    member->team->threads->release(member->ended);
}

/* Fills a part of the array; unless a draw is rejected, all of it. */
static void run_round(cf_team *team, const cf_mt *mt, char *out, size_t n) {
    const cf_threads *threads = team->threads;
    uint64_t share = 1;
    size_t started = 1;
    team->start = team->reached = *mt;
    team->out = out;
    team->caller = threads->here();
    team->n = n;
    team->filled = team->returned = 0;
    team->done = 0;
    if (team->direct) {
        share = n / (team->size * CF_CHUNK) + 1;
        share = share < LARGEST_SHARE ? share : LARGEST_SHARE;
    }
    for (size_t i = 0; i <= team->size; ++i)
        team->edge[i] = i * share * CF_CHUNK;
    if (team->all_accepted)
        share_out(team);
    while (started < team->size && threads->start(work, &team->member[started]))
        ++started;
    if (started == team->size) {
        team->running = team->size;
        threads->release(team->member[0].turn);
        take_chunks(team, 0);
    } else { /* no more threads can be started: end those that run */
        team->running = started - 1;
        team->done = 1;
        if (team->running > 0)
            threads->release(team->member[1].turn);
    }
    for (size_t i = 1; i < started; ++i)
        threads->acquire(team->member[i].ended);
}

void cf_team_fill(cf_team *team, cf_mt *mt, void *out, size_t n) {
    size_t filled = 0;
    while (filled < n) {
        run_round(team, mt, (char *)out + filled * team->itemsize, n - filled);
        if (team->filled == 0)
            break;
        *mt = team->reached;
        filled += team->filled;
    }
    cf_run(&team->job, mt, (char *)out + filled * team->itemsize, n - filled, CF_ANY);
}
