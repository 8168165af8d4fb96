/* Splits one fill among threads. Values and stream are the same as with one thread.

   The stream is cut into chunks of draws, which the members of a team take in turn, each with a copy of the generator
   that skips what the others draw. Where a chunk's first value begins is known only when the chunk before it is done,
   since the ziggurat takes a varying number of draws. So a member begins a little early, by when it is in step with any
   other beginning, and the chunks are joined in order: each must begin where the one before it ended. One that does not
   (after a draw was rejected that hardly ever is) ends the round, and another round begins.

   The locks. Every member has two, `turn` and `ended`; the invariant is that of a token:

       At any time at most one turn is free, or was acquired by its member and not passed on yet. Whoever has that one
       has the token, and only the member with the token touches `reached`, `filled`, `done` and `returned`.

   - Between rounds every turn and every `ended` is held, and the caller has the token.
   - The caller begins a round by releasing the turn of member 0, which is the caller itself.
   - A member acquires its own turn, joins its chunk and releases the next one's turn: so chunks are joined in order.
   - A member that finds the round done passes the token on a last time and returns. The last one to return keeps it:
     every turn is held again.
   - The thread of a member releases its `ended` as the last thing it does, and the caller acquires it: so no thread
     writes to the array once the caller goes on, and what it wrote is visible.

   There is no other waiting: a member that waits for its turn waits for one that is drawing, never in a circle. */
#ifndef CF_TEAM_H
#define CF_TEAM_H

#include "distributions.h"

enum {
    CF_MOST_THREADS = 16,
    CF_CHUNK = 64 * CF_MT_N, /* draws; what a chunk gives stays in L2 */
    /* Below these many values, starting a thread costs more than it gains. */
    CF_WORTH_UNIFORM = 4000000,
    CF_WORTH_GAUSSIAN = 500000
};

/* The caller's locks and threads. A lock may be released by a thread that did not acquire it. */
typedef struct {
    void (*acquire)(void *lock);
    void (*release)(void *lock);
    int (*start)(void (*work)(void *), void *of); /* returns 0 if no thread can be started */
} cf_threads;

typedef struct cf_team cf_team;

typedef struct {
    cf_team *team;
    size_t index;
    void *turn, *ended; /* given by the caller, both free */
} cf_member;

struct cf_team {
    cf_member member[CF_MOST_THREADS];
    char *scratch; /* given by the caller, of cf_team_scratch() bytes */
    size_t size;
    cf_job job;
    const cf_threads *threads;
    size_t itemsize, capacity; /* of half a member's scratch, in values */
    uint64_t warm_up;
    int direct; /* each draw gives one value, so values are written to the array directly */
    int all_accepted;
    /* One round: */
    char *out;
    size_t n, running;
    cf_mt start;
    uint64_t edge[CF_MOST_THREADS + 1]; /* of the chunks that each member takes first, in draws */
    /* The result of the chunks joined so far: */
    cf_mt reached;
    size_t filled, returned;
    int done;
};

size_t cf_team_scratch(const cf_job *job, size_t size);
/* Initialises a team of `size` members, 2 or more. All fields but the locks and the scratch must be zero. */
void cf_team_gather(cf_team *team, size_t size, const cf_job *job, const cf_threads *threads);
/* Gives the same values and leaves the same stream as cf_run(job, mt, out, n, CF_ANY). */
void cf_team_fill(cf_team *team, cf_mt *mt, void *out, size_t n);

#endif
