/* Splits one fill among threads. Values and stream are the same as with one thread.

   The stream is cut into chunks of draws, which the members of a team take in turn. Each member has a copy of the
   generator and skips the draws of the others. The ziggurat takes a varying number of draws, so the place of a chunk's
   first value is known only when the chunk before it is done. A member therefore begins a little early: after some
   draws the values no longer depend on where it began. The chunks are joined in order, and each must begin where the
   one before it ended. If one does not, after a rare rejection, the round ends and another begins.

   The locks. Every member has two, `turn` and `ended`. The invariant is that of a token:

       At any time at most one turn is free, or was acquired by its member and not passed on yet. The member that holds
       this turn has the token. Only this member reads or writes `reached`, `filled`, `done` and `returned`.

   - Between rounds every turn and every `ended` is held, and the caller has the token.
   - The caller begins a round by releasing the turn of member 0, which is the caller itself.
   - A member acquires its own turn, joins its chunk and releases the turn of the next, so chunks are joined in order.
   - A member that finds the round done passes the token on a last time and returns. The last one to return keeps it:
     every turn is held again.
   - The thread of a member releases its `ended` last, and the caller acquires it. So when the caller continues, no
     thread writes to the array, and all that was written is visible.

   There is no other waiting. A member that waits for its turn waits for a member that draws, so there is no cycle. */
#ifndef CF_TEAM_H
#define CF_TEAM_H

#include "distributions.h"

enum {
    CF_MOST_THREADS = 16,
    CF_CHUNK = 64 * CF_MT_N, /* draws; the values of a chunk fit into L2 */
    /* Below these many values, starting a thread costs more than it gains. */
    CF_WORTH_UNIFORM = 4000000,
    CF_WORTH_GAUSSIAN = 500000
};

/* The caller's locks and threads. A thread may release a lock that another acquired. `acquire` should look for the lock
   for a while before it sleeps, since waking takes longer than many of the waits here. */
typedef struct {
    void (*acquire)(void *lock);
    void (*release)(void *lock);
    int (*start)(void (*work)(void *), void *of); /* returns 0 if no thread can be started */
    int (*here)(void);                            /* the processor that the calling thread runs on */
    void (*keep_off)(int processor);              /* moves the calling thread to another processor, if it may use one */
} cf_threads;

/* Moves the calling thread if it is on this processor: some systems leave a thread on the processor of the thread that
   started or woke it. */
void cf_leave(const cf_threads *threads, int processor);

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
    int caller; /* its processor */
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
