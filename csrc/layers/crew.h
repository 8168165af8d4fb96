/* Threads that share the loops of layers. They stay, since starting a thread takes longer than many a loop, and the
   caller does the work of hands that come late.

   Only atomic operations change the state of a hand:

       CF_FREE, CF_WAITING -> CF_GIVEN   the caller has a loop
       CF_GIVEN -> CF_TAKEN              the hand begins
       CF_GIVEN -> CF_FREE               the caller did all of it before the hand began
       CF_TAKEN, CF_AWAITED -> CF_FREE   the hand is done
       CF_TAKEN -> CF_AWAITED            the caller waits until the hand is done
       CF_FREE -> CF_WAITING             the hand waits until there is a loop

   A thread that ends another's wait (from CF_WAITING, from CF_AWAITED) releases the lock that the other waits for. Both
   locks are held at all other times. */
#ifndef CF_CREW_H
#define CF_CREW_H

#include <stdatomic.h>

#include "layers/layers.h"
#include "team.h"

enum { CF_FREE, CF_WAITING, CF_GIVEN, CF_TAKEN, CF_AWAITED };

typedef struct cf_crew cf_crew;

typedef struct {
    cf_crew *crew;
    size_t part; /* that it begins with; the caller begins with part 0 */
    atomic_int state;
    void *turn, *ended; /* given by the caller, both held */
} cf_hand;

struct cf_crew {
    cf_hand hand[CF_MOST_THREADS - 1];
    size_t size; /* hands that joined; the caller's own thread is not one */
    const cf_threads *threads;
    atomic_int caller; /* the processor it was on when it last shared a loop */
    /* The loop that is shared: */
    cf_loop *loop;
    const void *of;
    size_t portion, parts;
    /* Each thread begins with its own part, the same in one loop after another: its cache holds that data. */
    struct {
        atomic_size_t next; /* item that nobody has taken */
        size_t end;
    } part[CF_MOST_THREADS];
};

/* Lets one more hand join, whose locks are set; returns 0 if no thread can be started. A hand stays until the process
   ends. */
int cf_crew_join(cf_crew *crew);
/* Runs loop(of, 0, items) on the caller's thread and at most `hands` hands. One thread at a time may call it. */
void cf_crew_share(cf_crew *crew, size_t hands, cf_loop *loop, const void *of, size_t items);

#endif
