/*
 * Who goes next on the NPU: policy $POLICY for $TENANTS tenants.
 * Written by layerweaver export from $ORIGIN.
 *
 * Freestanding C99. The caller owns all memory. Times are cycles of the NPU at $CLOCK_HZ Hz.
 */
#ifndef LW_SCHED_H
#define LW_SCHED_H

#include <stdint.h>

#include "lw_tables.h"

#define LW_NEVER INT64_C(4611686018427387904) /* a cycle that does not come */
#define LW_HOLD (-1)                          /* nothing goes until choice.until, or until something arrives */
#define LW_BAD (-2)                           /* the policy chose a tenant without a request */

#ifndef LW_RING
#define LW_RING $RING /* rows in flight that hold weights, a power of two; with more, decisions wait */
#endif
#define LW_MASK ((int32_t)LW_RING - 1)

#ifndef LW_MOST_POSITIONS
#define LW_MOST_POSITIONS (INT32_MAX / 2) /* beyond it positions in the list of fetches begin again */
#endif
#ifndef LW_MOST_COUNTED
#define LW_MOST_COUNTED $COUNT_LIMIT /* scaled bytes beyond which counting begins again */
#endif

[noted]#ifndef LW_UNNOTED
[noted]#define LW_UNNOTED 16 /* rows in flight that are noted only when somebody asks what could be fetched beside them */
[noted]#endif
[near]#ifndef LW_NEAR
[near]#define LW_NEAR (INT32_C(1) << 29) /* cycles around the epoch in which times are kept */
[near]#endif
[near]
typedef $TENANT_TYPE lw_tenant;

/* A request; the scheduler has it from lw_arrive until it is dropped or its last row is chosen. */
typedef struct lw_request {
    struct lw_request *next; /* the scheduler's; links the requests of a finished batch */
    int64_t arrival;         /* cycle */
    int64_t deadline;        /* last cycle at which its end is in time; LW_NEVER for a tenant without one */
    uint32_t number;         /* the caller's */
} lw_request;

/* The row that goes next. */
typedef struct {
    int32_t tenant;
    int32_t profile;      /* which (model, batch): index into the tables of profiles */
    int32_t row;          /* within the model */
    int32_t batch;        /* requests that run together */
    int32_t last;         /* 1 for the last row of the batch: its requests are the caller's again */
    lw_request *requests; /* the first of the batch, the others by next */
    int64_t fetch_start;  /* cycles, as the tables say */
    int64_t fetch_end;
    int64_t compute_end;
    int64_t until; /* when held: decide again at this cycle, or at an arrival before it */
} lw_choice;

$STRUCTS
/* Begin with nothing waiting and nothing in flight at cycle 0. */
void lw_init(lw_scheduler *lw);

/* A request of a tenant arrives; 0 if its queue is full, then it stays the caller's. Arrivals come in order. */
int lw_arrive(lw_scheduler *lw, int32_t tenant, lw_request *request);

/* The cycle at which the DMA engine can take the next row, or the last decision's if that is later. */
int64_t lw_next(const lw_scheduler *lw);

/* Choose the row that goes next, at lw_next or later; its tenant, or LW_HOLD. */
int32_t lw_decide(lw_scheduler *lw, int64_t now, lw_choice *choice);

/* A row ended that choice.compute_end expected at another cycle: what follows it is expected by as much later. */
void lw_row_done(lw_scheduler *lw, int64_t expected, int64_t actual);
[leaves]
[leaves]/* Requests that were dropped or gave up since the last call, by next; they are the caller's again. */
[leaves]lw_request *lw_dropped(lw_scheduler *lw);

#endif
