/*
 * Copyright (C) the ngx_mc_module authors
 */


/*
 * A model of ngx_mc_owner.c for spin: how workers come to own flows, over
 * reloads, deaths of workers and upgrades of the binary.  "make check" tries
 * every order of the steps below, in every configuration; so a step is what
 * other processes can see of one system call, or of one store to shared
 * memory.
 *
 * What stands for what:
 *
 *   fl[].lock            F_OFD_SETLK on the byte of a flow; kill() frees it
 *   fl[].runner          ngx_mc_owned and ngx_mc_flows of that worker
 *   fl[].ver             the definition that a running flow has
 *   fl[].open            the ports that its endpoints are bound to; who finds
 *                        one taken tries again, OPEN()
 *   fl[].live            ngx_mc_flow_is_live()
 *   record[]             ngx_mc_flow_stat_t.pid; a pid whose process died is
 *                        DEAD: nobody can tell more of it
 *   gen[], quit[]        registry->current, registry->quit
 *   p[].wake             the eventfd has been written to: one edge, however
 *                        many writes
 *
 *   notify()             ngx_mc_owner_notify()
 *   converge()           ngx_mc_owner_leave(), and ngx_mc_owner_converge()
 *                        up to what it stops: changes in place
 *   MUST_STOP, ENDING    ngx_mc_owner_release(), _release_all(), and flows
 *                        that are gone
 *   stop_next(), UNLOCK  ngx_mc_owner_stop(): stop, unlock; notify at the end
 *   TAKES, WANTS         ngx_mc_owner_take(), _shares(), _orphan()
 *   take_next(), TAKE    its loop
 *   LOCK, START, UNDO    ngx_mc_owner_claim(), a lock or a start at a time
 *   masters()            nginx's master: ngx_mc_registry_publish(), notify,
 *                        new workers, SIGQUIT to the others; respawns; USR2,
 *                        then WINCH or QUIT
 *   IN_USE               ngx_slab_free() of a generation, with SLOW
 *
 * The rules: a worker that sees a generation that it was not started for is
 * old.  It gives up each group that has no live flow here, changes the others
 * in place, and claims, each by itself, the flows of groups of which it runs
 * one.  Any other claims groups, whole or not at all, that are meant for it,
 * and once a second those that are nobody's; but nothing more once it was
 * told that nginx quits.
 *
 * What is checked.  Always: nobody starts a flow that another runs, nobody
 * frees the lock of one that runs, a worker leaves with nothing, a live flow
 * is stopped only if it is gone from the configuration, at the shutdown
 * time-out, or when nginx quits.  And in the end, check_flow(): each flow of
 * the last generation runs in one process, with its last definition; it is a
 * current worker, with the whole group, or an old one with a live flow of the
 * group; no endpoint waits for a port but of a live group in another process;
 * old workers with nothing live are gone.
 *
 * "The end": when all generations are published, monitor() at some moment
 * sets "calm": from then on nobody is killed, streams neither come nor go,
 * and claims no longer collide, which nothing but luck ensures in practice:
 * two try-locks may fail each other any number of times, but not for ever.
 * Whatever was half done then is the start of the end.  Each way on must
 * come to a halt, for a loop passes the label "accept", which pan reports;
 * when nothing can move any more ("timeout") the state must be as above.
 * Periodic work runs only if it has something to do: else it is no step.
 *
 * It begins with the first generation at rest.  Whether a flow is live
 * matters, and changes, only where its owner is old or about to be.
 *
 * Left out: definitions that fail to start, and masters that are killed.
 *
 * Flags: KILLS=n; TIMEOUT: worker_shutdown_timeout; PID_REUSED: the pid of
 * who died is that of another process; NO_NOTIFY, NO_SECOND, INHERIT: which
 * of the ways to wake up there are; SLOW: one converge() may outlast two
 * reloads, which the module does not stand; BUG_...: faults that must be
 * found.
 */


/*
 * The configurations.  NF flows, NG generations, workers started for each;
 * HAS: whether the generation g has the flow f; GRP: the first flow of its
 * group; PORTS: a bit for each port that it listens on; HINT: the worker
 * that it is meant for.
 */

#if defined(SPLIT)                  /* two groups move at a reload */
#define NF           2
#define NG           2
#define WORKERS1     1
#define WORKERS2     2
#define HAS(g, f)    true
#define GRP(g, f)    (f)
#define PORTS(g, f)  (1 << (f))
#define HINT(g, f)   (g == 1 -> 0 : f)

#elif defined(GROUP)                /* one group moves */
#define NF           2
#define NG           2
#define WORKERS1     1
#define WORKERS2     2
#define HAS(g, f)    true
#define GRP(g, f)    0
#define PORTS(g, f)  (1 + 2 * f)
#define HINT(g, f)   0

#elif defined(SWAP)                 /* two flows exchange their ports */
#define NF           2
#define NG           2
#define WORKERS1     2
#ifndef WORKERS2
#define WORKERS2     1
#endif
#define HAS(g, f)    true
#define GRP(g, f)    (f)
#define PORTS(g, f)  (g == 1 -> 1 << (f) : 2 >> (f))
#define HINT(g, f)   (g == 1 -> f : 0)

#elif defined(JOIN)                 /* the reload makes one group of two */
#define NF           2
#define NG           2
#define WORKERS1     2
#ifndef WORKERS2
#define WORKERS2     1
#endif
#define HAS(g, f)    true
#define GRP(g, f)    (g == 1 -> f : 0)
#define PORTS(g, f)  (g == 1 -> 1 << (f) : 3)
#define HINT(g, f)   (g == 1 -> f : 0)

#elif defined(PART)                 /* and two of one */
#define NF           2
#define NG           2
#define WORKERS1     1
#define WORKERS2     2
#define HAS(g, f)    true
#define GRP(g, f)    (g == 1 -> 0 : f)
#define PORTS(g, f)  (g == 1 -> (f == 0 -> 1 : 3) : 1 << (f))
#define HINT(g, f)   (g == 1 -> 0 : f)

#elif defined(JOIN3)                /* a third flow, which is new, joins two */
#define NF           3
#define NG           2
#define WORKERS1     2
#ifndef WORKERS2
#define WORKERS2     1
#endif
#define HAS(g, f)    (f < 2 || g > 1)
#define GRP(g, f)    (g == 1 -> f : 0)
#define PORTS(g, f)  (f == 2 -> 3 : 1 << (f))
#define HINT(g, f)   (g == 1 -> f : 0)

#elif defined(GONE)                 /* a flow goes, and comes back in a group */
#define NF           2
#define NG           3
#define WORKERS1     1
#define WORKERS2     1
#define WORKERS3     1
#define HAS(g, f)    (f == 0 || g != 2)
#define GRP(g, f)    (g == 3 -> 0 : f)
#define PORTS(g, f)  (g == 3 -> 1 : 1 << (f))
#define HINT(g, f)   0

#elif defined(MASTERS)              /* a reload, then a binary upgrade */
#define NF           2
#define NG           2
#define NM           2
#define WORKERS1     1
#define WORKERS2     1
#define WORKERS3     1
#define HAS(g, f)    true
#define GRP(g, f)    (f)
#define PORTS(g, f)  (1 << (f))
#define HINT(g, f)   0
#endif

#ifndef WORKERS3
#define WORKERS3     0
#endif

#define NW           (WORKERS1 + WORKERS2 + WORKERS3)

#ifndef NM
#define NM           1
#endif
#ifndef KILLS
#define KILLS        1
#endif

#if NF == 2
#define ANY(P, w)       (P(w, 0) || P(w, 1))
#define ANY_OF(P, w, a) (P(w, a, 0) || P(w, a, 1))
#define SOME(P, w, a)   (P(w, a, 0) || P(w, a, 1))
#else
#define ANY(P, w)       (P(w, 0) || P(w, 1) || P(w, 2))
#define ANY_OF(P, w, a) (P(w, a, 0) || P(w, a, 1) || P(w, a, 2))
#define SOME(P, w, a)   (P(w, a, 0) || P(w, a, 1) || P(w, a, 2))
#endif

#if NM == 2
#define MASTER(w)    (w == 2 -> 1 : 0)
#define CYCLE(w)     (w == 0 -> 1 : 2)
#else
#define MASTER(w)    0
#define CYCLE(w)     (w < WORKERS1 -> 1 : (w < WORKERS1 + WORKERS2 -> 2 : 3))
#endif

#define INDEX(w)                                                              \
    (w < WORKERS1 -> w : (w < WORKERS1 + WORKERS2 -> w - WORKERS1 : 0))

/* where a worker is */

#define NONE         0              /* not started, or gone */
#define FORKED       1              /* before init_process */
#define IDLE         2              /* waits for events */
#define STOP         3              /* looks for flows to stop */
#define UNLOCK       4              /* has stopped one, still has its lock */
#define TAKE         5              /* looks at the next group */
#define LOCK         6              /* locks the flows of a group */
#define START        7              /* starts them */
#define UNDO         8              /* or gives the locks back */
#define CRASHED      9              /* the master does not know yet */

/* NGX_MC_TAKE_... */

#define MEANT        0
#define ORPHANS      1
#define LOST         2

#define DEAD         15             /* the pid of a process that is no more */

typedef Worker {
    unsigned pc : 4;
    unsigned cyc : 2;               /* generation it was started for */
    unsigned first : 2;             /* ngx_mc_owner_first */
    unsigned seen : 2;              /* ngx_mc_owner_generation */
    unsigned what : 2;
    unsigned at : 2;
    bit      wake;                  /* an edge of the eventfd */
    bit      told;                  /* SIGQUIT */
    bit      leaving;
    bit      late;                  /* worker_shutdown_timeout is over */
    bit      released
};

typedef Flow {
    unsigned lock : 4;              /* number of the worker + 1, or 0 */
    unsigned runner : 4;            /* likewise: the process that runs it */
    unsigned ver : 2;               /* generation of what it runs */
    unsigned open : 2;              /* ports that it has, a bit each */
    bit      live
};

Worker       p[NW];
Flow         fl[NF];
byte         record[NM * NF];          /* the record's, of each master's zone */
byte         gen[NM];
bit          quit[NM];              /* registry->quit == generation */
bit          stopped[NM];           /* the master was told WINCH or QUIT */
bit          up;                    /* the second master runs */
bit          calm;
byte         kills;

hidden byte  i;
hidden byte  m;

#if NW == 3
#define ALL_WELL         (p[0].pc != CRASHED && p[1].pc != CRASHED            \
                          && p[2].pc != CRASHED)
#else
#define ALL_WELL         (p[0].pc != CRASHED && p[1].pc != CRASHED            \
                          && p[2].pc != CRASHED && p[3].pc != CRASHED)
#endif

#define ME               (w + 1)
#define PID(w, f)        record[MASTER(w) * NF + f]
#define GEN(w)           gen[MASTER(w)]
#define RUNS(w, f)       (fl[f].runner == w + 1)
#define SAME(g, a, b)    (HAS(g, a) && HAS(g, b) && GRP(g, a) == GRP(g, b))
#define OLD(w)           (p[w].seen != p[w].first)
#define IN(w, a, f)      SAME(p[w].seen, a, f)

#define LIVE1(w, a, f)   (RUNS(w, f) && fl[f].live && IN(w, a, f))
#define SHARE1(w, a, f)  (RUNS(w, f) && IN(w, a, f))
#define LACK1(w, a, f)   (!RUNS(w, f) && IN(w, a, f))
#define BUSY1(w, a, f)   (!RUNS(w, f) && IN(w, a, f) && !FREE(w, f))
#define FREE1(w, a, f)   (!RUNS(w, f) && IN(w, a, f) && FREE(w, f))

#ifdef BUG_PID_IS_LOCK
#define FREE(w, f)       (PID(w, f) == 0 || PID(w, f) == DEAD)
#else
#define FREE(w, f)       (fl[f].lock == 0)
#endif

#ifdef BUG_RELEASE_ONE
#define GROUP_LIVE(w, f) fl[f].live
#else
#define GROUP_LIVE(w, f) ANY_OF(LIVE1, w, f)
#endif

#define ENDING(w, f)                                                          \
    (!HAS(p[w].seen, f) || p[w].late                                          \
     || (quit[MASTER(w)] && p[w].leaving))

#define MUST_STOP(w, f)                                                       \
    (RUNS(w, f) && (ENDING(w, f) || (OLD(w) && !GROUP_LIVE(w, f))))

#ifdef PID_REUSED
#define ORPHAN(w, f)     (PID(w, f) == 0)
#else
#define ORPHAN(w, f)     (PID(w, f) == 0 || PID(w, f) == DEAD)
#endif

#define MINE(w, f)       (HINT(p[w].seen, f) == INDEX(w))

#define WANTS(w, f, t)                                                        \
    (t == LOST -> (MINE(w, f) && PID(w, f) == DEAD && ORPHAN(w, f))           \
               : (MINE(w, f) || (t == ORPHANS && ORPHAN(w, f))))

/* a claim that would take something; in the end, one that would succeed */

#define LEADS(w, f)      (HAS(p[w].seen, f) && GRP(p[w].seen, f) == f)

#define CAN_TAKE(w, f)                                                        \
    (calm -> (ANY_OF(LACK1, w, f) && !ANY_OF(BUSY1, w, f))                    \
          : ANY_OF(FREE1, w, f))

#ifdef BUG_OLD_ALL_OR_NOTHING
#define OLD_TAKES(w, f)  (LEADS(w, f) && ANY_OF(SHARE1, w, f) && CAN_TAKE(w, f))
#define OLD_LIKE_NEW     1
#else
#define OLD_TAKES(w, f)                                                       \
    (HAS(p[w].seen, f) && !RUNS(w, f) && FREE(w, f) && ANY_OF(SHARE1, w, f))
#define OLD_LIKE_NEW     0
#endif

#ifdef BUG_OLD_CLAIMS
#define IS_OLD(w)        false
#else
#define IS_OLD(w)        OLD(w)
#endif

/* nginx quits: what is given up must not be taken again */

#ifdef BUG_QUIT_CLAIMS
#define QUITS(w)         false
#else
#define QUITS(w)         (p[w].leaving && !OLD(w))
#endif

#define TAKES(w, f, t)                                                        \
    (IS_OLD(w) -> OLD_TAKES(w, f)                                             \
               : (LEADS(w, f) && !QUITS(w) && WANTS(w, f, t)                  \
                  && CAN_TAKE(w, f)))

#define TAKES1(w, t, f)  TAKES(w, f, t)
#define LATER1(w, t, f)  (f >= p[w].at && TAKES(w, f, t))

/* the next flow to lock, and one that is locked and not yet started */

#define NEXT1(w, a, f)   (LACK1(w, a, f) && fl[f].lock != ME)
#define HOLDS(w, f)      (fl[f].lock == w + 1 && !RUNS(w, f))


inline notify(n) {
#ifndef NO_NOTIFY
    for (i : 0 .. NW - 1) {
        if
        :: MASTER(i) == n && p[i].pc >= IDLE && p[i].pc <= UNDO ->
            p[i].wake = 1
        :: else
        fi
    }
#endif
    skip
}

inline idle(w) {
    p[w].pc = IDLE;
    p[w].at = 0;
    p[w].what = 0;
    p[w].released = 0
}

inline none(w, how) {
    idle(w);
    p[w].pc = how;
    p[w].cyc = 0;
    p[w].first = 0;
    p[w].seen = 0;
    p[w].wake = 0;
    p[w].told = 0;
    p[w].leaving = 0;
    p[w].late = 0
}

inline unlock(f) {
#ifndef BUG_UNLOCK_FIRST
    assert(fl[f].runner == 0);
#endif
    fl[f].lock = 0
}

inline stop(f) {
    /* a stream ends only if it must */
    assert(!fl[f].live || ENDING(w, f));
    fl[f].runner = 0;
    fl[f].ver = 0;
    fl[f].open = 0;
    fl[f].live = 0;
    if
    :: PID(w, f) == ME -> PID(w, f) = 0
    :: else
    fi
}

/* a generation is freed as the second one after it is published */

#ifdef SLOW
#define IN_USE(w)        assert(GEN(w) < p[w].seen + 2)
#else
#define IN_USE(w)        skip
#endif

/* groups of which there is nothing to take are passed at once */

inline take_next(w) {
    if
    :: SOME(LATER1, w, p[w].what) -> p[w].pc = TAKE
    :: else -> idle(w)
    fi
}

/* ngx_mc_owner_claim(): one lock more */

inline lock_next(w) {
    i = 0;
    do
    :: i < NF && !NEXT1(w, p[w].at, i) -> i++
    :: else -> break
    od;
    if
    :: i < NF && FREE(w, i) ->
        fl[i].lock = ME;
        if
        :: ANY_OF(NEXT1, w, p[w].at)
        :: else -> p[w].pc = START
        fi
    :: i < NF && !FREE(w, i) && ANY(HOLDS, w) ->
#ifdef BUG_NOT_ALL
        p[w].pc = START
#else
        p[w].pc = UNDO
#endif
    :: i < NF && !FREE(w, i) && !ANY(HOLDS, w) ->
        p[w].at++;
        take_next(w)
    :: i == NF -> p[w].pc = START
    fi
}

/* ngx_mc_owner_stop() of the next flow, or on to the claims */

inline stop_next(w) {
    i = 0;
    do
    :: i < NF && !MUST_STOP(w, i) -> i++
    :: else -> break
    od;
    if
    :: i < NF ->
        p[w].at = i;
        p[w].pc = UNLOCK;
#ifdef BUG_UNLOCK_FIRST
        unlock(i)
#else
        stop(i)
#endif
    :: else ->
        p[w].at = 0;
        if
        :: p[w].released -> p[w].released = 0; notify(MASTER(w))
        :: else
        fi;
        take_next(w)
    fi
}

/* ngx_mc_owner_converge() */

inline converge(t) {
    p[w].wake = 0;
    p[w].what = t;

    if
    :: p[w].told ->
        p[w].told = 0;
        p[w].leaving = 1;
        if
        :: GEN(w) == p[w].first ->
            /* a reload is not to be taken for the end of nginx */
            assert(stopped[MASTER(w)]);
            quit[MASTER(w)] = 1;
            notify(MASTER(w));
            p[w].wake = 0
        :: else
        fi
    :: else
    fi;

    p[w].seen = GEN(w);

    for (i : 0 .. NF - 1) {
        if
        :: RUNS(w, i) && HAS(p[w].seen, i) ->
            fl[i].ver = p[w].seen;
            fl[i].open = fl[i].open & PORTS(p[w].seen, i);
            fl[i].live = (fl[i].open != 0 && fl[i].live)
        :: else
        fi
    };

    stop_next(w)
}


proctype worker(byte w)
{
end:
    do

    /* ngx_mc_owner_init_process() */

    :: d_step { p[w].pc == FORKED ->
#ifdef BUG_FIRST_AT_INIT
        p[w].first = GEN(w);
#endif
        p[w].wake = 1;
        p[w].pc = IDLE
       }

    /*
     * ngx_mc_owner_notify_handler(), and ngx_mc_owner_slice_handler() for
     * flows that are no longer live
     */

    :: d_step { p[w].pc == IDLE &&
                (p[w].wake || p[w].told || ANY(MUST_STOP, w)) ->
        converge(MEANT)
       }

    /* ngx_mc_owner_slice_handler(), each second */

#ifndef NO_SECOND
    :: d_step { p[w].pc == IDLE &&
                (GEN(w) != p[w].seen || SOME(TAKES1, w, ORPHANS)) ->
        converge(ORPHANS)
       }
#endif

    /* ngx_mc_owner_inherit() */

#ifdef INHERIT
    :: d_step { p[w].pc == IDLE && GEN(w) == p[w].seen &&
                SOME(TAKES1, w, LOST) ->
        converge(LOST)
       }
#endif

    /* nothing keeps it any longer */

    :: d_step { p[w].pc == IDLE && p[w].leaving && !ANY(RUNS, w) ->
        for (i : 0 .. NF - 1) {
            assert(fl[i].lock != ME && PID(w, i) != ME)
        };
        none(w, NONE)
       }

    /* ngx_mc_owner_release(), ngx_mc_owner_stop() */

    :: d_step { p[w].pc == UNLOCK ->
#ifdef BUG_UNLOCK_FIRST
        stop(p[w].at);
#else
        unlock(p[w].at);
#endif
        p[w].released = 1;
        stop_next(w)
       }

    /* ngx_mc_owner_take() */

    :: d_step { p[w].pc == TAKE ->
        IN_USE(w);
        do
        :: p[w].at < NF && !TAKES(w, p[w].at, p[w].what) -> p[w].at++
        :: else -> break
        od;
        if
        :: p[w].at == NF -> idle(w)
        :: p[w].at < NF && IS_OLD(w) && !OLD_LIKE_NEW ->
            fl[p[w].at].lock = ME;
            p[w].pc = START
        :: p[w].at < NF && (!IS_OLD(w) || OLD_LIKE_NEW) ->
            p[w].pc = LOCK;
            if
            :: calm ->
                for (i : 0 .. NF - 1) {
                    if
                    :: LACK1(w, p[w].at, i) -> fl[i].lock = ME
                    :: else
                    fi
                };
                p[w].pc = START
            :: else -> lock_next(w)
            fi
        fi
       }

    /* ngx_mc_owner_claim() */

    :: d_step { p[w].pc == LOCK -> IN_USE(w); lock_next(w) }

    :: d_step { p[w].pc == START ->
        IN_USE(w);
        i = 0;
        do
        :: i < NF && !HOLDS(w, i) -> i++
        :: else -> break
        od;

        /* nobody else runs it */
        assert(i < NF && fl[i].runner == 0);

        fl[i].runner = ME;
        fl[i].ver = p[w].seen;
        PID(w, i) = ME;

        if
        :: ANY(HOLDS, w)
        :: else -> p[w].at++; take_next(w)
        fi
       }

    :: d_step { p[w].pc == UNDO ->
        i = 0;
        do
        :: i < NF && !HOLDS(w, i) -> i++
        :: else -> break
        od;

        unlock(i);

        if
        :: ANY(HOLDS, w)
        :: else -> p[w].at++; take_next(w)
        fi
       }
    od
}



inline fork(w) {
    p[w].pc = FORKED;
    p[w].cyc = gen[MASTER(w)];
    p[w].first = gen[MASTER(w)]
}

/* nginx: ngx_master_process_cycle(), ngx_signal_worker_processes() */

proctype masters()
{
end:
    do

    /* a reload */

    :: gen[0] < NG ->
        gen[0]++;                             /* ngx_mc_registry_publish() */
        atomic { notify(0) };
        atomic {
            for (m : 0 .. NW - 1) {
                if
                :: MASTER(m) == 0 && CYCLE(m) == gen[0] -> fork(m)
                :: else
                fi
            }
        };
        atomic {
            for (m : 0 .. NW - 1) {
                if
                :: MASTER(m) == 0 && p[m].pc == CRASHED &&
                   p[m].cyc < gen[0] ->
                    /* nginx respawns one that it finds dead just now */
                    if
                    :: none(m, NONE)
                    :: fork(m)
                    fi
                :: MASTER(m) == 0 && p[m].pc != NONE && p[m].pc != CRASHED &&
                   p[m].cyc < gen[0] && !p[m].leaving ->
                    p[m].told = 1
                :: else
                fi
            }
        }

#if NM == 2

    /* USR2; later QUIT to the new master, or WINCH or QUIT to the old one */

    :: atomic { gen[0] == NG && !up ->
        up = 1;
        gen[1] = NG;
        fork(NW - 1)
       }

    :: atomic { up && !calm && !stopped[0] && !stopped[1] ->
        if
        :: stopped[0] = 1
        :: stopped[1] = 1
        fi;
        for (m : 0 .. NW - 1) {
            if
            :: stopped[MASTER(m)] && p[m].pc != NONE && p[m].pc != CRASHED &&
               !p[m].leaving ->
                p[m].told = 1
            :: else
            fi
        }
       }
#endif

    /* ngx_reap_children() */

    :: atomic { !ALL_WELL ->
        for (m : 0 .. NW - 1) {
            if
            :: p[m].pc == CRASHED ->
                if
                :: p[m].cyc == gen[MASTER(m)] && !stopped[MASTER(m)] ->
                    fork(m)
                :: else -> none(m, NONE)
                fi
            :: else
            fi
        }
       }
    od
}


inline kill(w) {
    atomic { kills < KILLS && !calm && p[w].pc != NONE && p[w].pc != CRASHED ->
        kills++;
        for (i : 0 .. NF - 1) {
            if
            :: fl[i].lock == w + 1 ->
#ifndef BUG_LOCK_STAYS
                fl[i].lock = 0
#endif
                skip
            :: else
            fi;
            if
            :: fl[i].runner == w + 1 ->
                fl[i].runner = 0;
                fl[i].ver = 0;
                fl[i].open = 0;
                fl[i].live = 0
            :: else
            fi;
            if
            :: PID(w, i) == w + 1 -> PID(w, i) = DEAD
            :: else
            fi
        };
        m = p[w].cyc;
        none(w, CRASHED);
        p[w].cyc = m
    }
}

proctype killer()
{
end:
    do
    :: kill(0)
    :: kill(1)
    :: kill(2)
#if NW == 4
    :: kill(3)
#endif
    od
}


/*
 * What an event loop does with sockets between the events above: an endpoint
 * takes its port as soon as no other process has it, ngx_mc_endpoint_retry();
 * streams come and go.
 */

#define OWNER(f)     (fl[f].runner - 1)

#define OTHERS1(f, n, b) \
    (fl[b].runner != 0 && fl[b].runner != fl[f].runner && (fl[b].open & n))

#define WAITS(f, n)                                                           \
    (fl[f].runner != 0 && (PORTS(fl[f].ver, f) & n) && !(fl[f].open & n))

#define LOOP(f)      (fl[f].runner != 0 && p[fl[f].runner - 1].pc == IDLE)

/* only a worker that is old, or will be, asks whether a flow is live */

#define ASKED(f)                                                              \
    (LOOP(f) && !calm && p[OWNER(f)].first != gen[MASTER(OWNER(f))])

#define OPEN(f, n)                                                            \
    atomic { LOOP(f) && WAITS(f, n) && !ANY_OF(OTHERS1, f, n) ->              \
        fl[f].open = fl[f].open | n }

#define BEGIN(f)                                                              \
    atomic { ASKED(f) && fl[f].open && !fl[f].live -> fl[f].live = 1 }

#define END(f)                                                                \
    atomic { ASKED(f) && fl[f].live -> fl[f].live = 0 }

proctype sockets()
{
end:
    do
    :: OPEN(0, 1)
    :: OPEN(0, 2)
    :: OPEN(1, 1)
    :: OPEN(1, 2)
    :: BEGIN(0)
    :: BEGIN(1)
    :: END(0)
    :: END(1)
#if NF == 3
    :: OPEN(2, 1)
    :: OPEN(2, 2)
    :: BEGIN(2)
    :: END(2)
#endif
    od
}


#ifdef TIMEOUT
proctype clock()
{
    byte w;
end:
    do
    :: atomic { !calm && p[0].leaving && !p[0].late -> p[0].late = 1 }
    :: atomic { !calm && p[1].leaving && !p[1].late -> p[1].late = 1 }
    od
}
#endif


/* the last generation of whoever has the flow */

#define GOOD_OWNER(f)                                                         \
    (fl[f].lock == fl[f].runner                                               \
     && record[MASTER(OWNER(f)) * NF + f] == fl[f].runner                     \
     && p[OWNER(f)].pc == IDLE                                                \
     && fl[f].ver == gen[MASTER(OWNER(f))]                                    \
     && (!stopped[MASTER(OWNER(f))] || UNTOLD(f)))

/*
 * Current workers tell those that have been leaving that nginx quits.  If the
 * last of them is killed just then, nobody does: live flows stay to their end.
 */

#define UNTOLD(f)                                                             \
    (kills > 0 && !quit[MASTER(OWNER(f))] && GROUP_LIVE(OWNER(f), f))

/* the port is with a group in another process that has a live flow */

#define HELD1(f, n, b)                                                        \
    (fl[b].runner != 0 && fl[b].runner != fl[f].runner && (fl[b].open & n)    \
     && GROUP_LIVE(OWNER(b), b))

inline check_flow(f) {
    if
    :: HAS(NG, f) ->
        assert(fl[f].runner != 0);
        assert(GOOD_OWNER(f));
        assert(OLD(OWNER(f)) -> GROUP_LIVE(OWNER(f), f)
               : !ANY_OF(LACK1, OWNER(f), f));
        assert(!WAITS(f, 1) || SOME(HELD1, f, 1));
        assert(!WAITS(f, 2) || SOME(HELD1, f, 2))
    :: else ->
        assert(fl[f].runner == 0 && fl[f].lock == 0)
    fi
}

inline check_worker(w) {
    assert(p[w].pc == NONE || p[w].pc == IDLE);
    assert(p[w].pc == NONE || p[w].cyc == gen[MASTER(w)] || ANY(RUNS, w))
}

proctype monitor()
{
    atomic { gen[0] == NG && (NM == 1 || up) -> calm = 1 };

accept:
    atomic { timeout ->
        check_flow(0);
        check_flow(1);
#if NF == 3
        check_flow(2);
#endif
        for (i : 0 .. NW - 1) {
            check_worker(i)
        }
    }
}


init {
    atomic {
        gen[0] = 1;
        for (m : 0 .. NW - 1) {
            if
            :: CYCLE(m) == 1 -> fork(m); p[m].pc = IDLE; p[m].seen = 1
            :: else
            fi
        };
        for (m : 0 .. NF - 1) {
            if
            :: HAS(1, m) ->
                fl[m].runner = HINT(1, m) + 1;
                fl[m].lock = fl[m].runner;
                fl[m].ver = 1;
                fl[m].open = PORTS(1, m);
                record[m] = fl[m].runner
            :: else
            fi
        };
        run worker(0);
        run worker(1);
        run worker(2);
#if NW == 4
        run worker(3);
#endif
        run masters();
        run sockets();
#if KILLS > 0
        run killer();
#endif
#ifdef TIMEOUT
        run clock();
#endif
        run monitor()
    }
}
