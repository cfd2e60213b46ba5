/* Written by layerweaver export: policy $POLICY, translated from $ORIGIN, and the machine it decides for. */
#include "lw_sched.h"

#include <stddef.h>

void *memset(void *to, int value, size_t count);

$HELPERS
/* ---- The policy and the two timelines, from the functions that the simulator compiles ---- */

$PROGRAM
/* ---- Queues and heads ---- */

static void load_row(lw_head *head, int64_t deadline)
{
[head.compute_cycles]    head->compute_cycles = @compute_cycles[head->place];
[head.fetch_cycles]    head->fetch_cycles = @fetch_cycles[head->place];
[head.weight_scaled]    head->weight_scaled = ($WEIGHT_TYPE)(($WEIGHT_WORK)@weight_bytes[head->place] * $SCALE);
[head.latest_start]    head->latest_start = deadline < LW_NEVER ? deadline - (int64_t)@remaining_cycles[head->place] : LW_NEVER;
[!head.latest_start]    (void)deadline;
}

[machine.longest_fetch_cycles]static void note_longest_fetch(lw_scheduler *lw)
[machine.longest_fetch_cycles]{
[machine.longest_fetch_cycles]    int64_t longest = 0;
[machine.longest_fetch_cycles]    for (int32_t k = 0; k < (int32_t)lw->machine.ready_count; k++) {
[machine.longest_fetch_cycles]        int64_t cycles = @longest_fetch_cycles[lw->heads[lw->ready[k]].profile];
[machine.longest_fetch_cycles]        longest = cycles > longest ? cycles : longest;
[machine.longest_fetch_cycles]    }
[machine.longest_fetch_cycles]    lw->machine.longest_fetch_cycles = ($LONGEST_TYPE)longest;
[machine.longest_fetch_cycles]}
[machine.longest_fetch_cycles]
/* Insert or remove a tenant in the ascending list of those with a head. */
static void set_ready(lw_scheduler *lw, int32_t index, int wanted)
{
    int32_t count = (int32_t)lw->machine.ready_count, at = 0;
    while (at < count && (int32_t)lw->ready[at] < index) {
        at++;
    }
    if ((at < count && (int32_t)lw->ready[at] == index) == wanted) {
        return;
    }
    if (wanted) {
        for (int32_t k = count; k > at; k--) {
            lw->ready[k] = lw->ready[k - 1];
        }
        lw->ready[at] = (lw_tenant)index;
        lw->machine.ready_count++;
    } else {
        for (int32_t k = at; k < count - 1; k++) {
            lw->ready[k] = lw->ready[k + 1];
        }
        lw->machine.ready_count--;
        lw->heads[index].rows_left = 0;
[machine.longest_fetch_cycles]        note_longest_fetch(lw);
    }
}

[drops]static void drop_first(lw_scheduler *lw, lw_head *head)
[drops]{
[drops]    lw_request *request = head->fresh;
[drops]    head->fresh = request->next;
[drops]    head->queued--;
[machine.queued][drops]    lw->machine.queued--;
[drops]    head->rows_left = 0;
[drops]    request->next = lw->dropped;
[drops]    lw->dropped = request;
[drops]}
[drops]
/* Cycles that a batch of so many requests takes alone, and the profile at which it runs. */
static int32_t profile_of(int32_t index, int32_t size)
{
    int32_t chosen = @first_profile[index];
[batches]    while ((int32_t)@batch_size[chosen] < size) {
[batches]        chosen++;
[batches]    }
[!batches]    (void)size;
    (void)index;
    return chosen;
}

static int32_t batch_of(int32_t index, int32_t waiting)
{
    int32_t largest = @largest_batch[index];
    (void)index;
    return waiting < largest ? waiting : largest;
}

[defers]/* Let the requests at the front that can no longer be in time, even alone, step aside. */
[defers]static void pass_over(lw_head *head, int32_t index, int64_t now)
[defers]{
[defers]    (void)index;
[defers]    while (head->queued > head->passed) {
[defers]        lw_request *oldest = head->fresh;
[defers]        int32_t size = batch_of(index, head->queued - head->passed);
[defers]        int32_t profile = profile_of(index, size);
[defers]        if (oldest->deadline == LW_NEVER || now + (int64_t)@standalone_cycles[profile] <= oldest->deadline) {
[defers]            break;
[defers]        }
[defers]        head->fresh = oldest->next;
[defers]        oldest->next = 0;
[defers]        if (head->late == 0) {
[defers]            head->late = oldest;
[defers]        } else {
[defers]            head->late_last->next = oldest;
[defers]        }
[defers]        head->late_last = oldest;
[defers]        head->passed++;
[defers]    }
[defers]}
[defers]
[defers]static lw_request *first_of(const lw_head *head)
[defers]{
[defers]    return head->hopeless ? head->late : head->fresh;
[defers]}
[!defers]static lw_request *first_of(const lw_head *head)
[!defers]{
[!defers]    return head->fresh;
[!defers]}

/* Cycle at which a head that has not begun changes by itself, because its oldest request will be too late. */
static int64_t changes_at(const lw_head *head, int32_t index)
{
[gives_up]    int64_t deadline = first_of(head)->deadline;
[gives_up]    (void)index;
[gives_up]    if (deadline < LW_NEVER) {
[drops]        if (@drops[index]) {
[drops]            int32_t smallest = @first_profile[index];
[drops]            (void)smallest;
[drops]            return deadline - (int64_t)@standalone_cycles[smallest] + 1;
[drops]        }
[defers]        if (@defers[index] && !head->hopeless) {
[defers]            return deadline - (int64_t)@standalone_cycles[head->profile] + 1;
[defers]        }
[gives_up]    }
[!gives_up]    (void)head;
[!gives_up]    (void)index;
    return LW_NEVER;
}

/* Put together the batch at the head of a tenant's queue; none of it has begun. */
static void form_head(lw_scheduler *lw, int32_t index)
{
    lw_head *head = &lw->heads[index];
    lw_request *first;
    int32_t waiting, size, profile;
    int64_t change;
    head->changed = 0;
[drops]    if (@drops[index]) {
[drops]        int32_t smallest = @first_profile[index];
[drops]        (void)smallest;
[drops]        while (head->queued > 0 && head->fresh->deadline < LW_NEVER &&
[drops]               lw->machine.now + (int64_t)@standalone_cycles[smallest] > head->fresh->deadline) {
[drops]            drop_first(lw, head);
[drops]        }
[drops]    }
    if (head->queued == 0) {
        set_ready(lw, index, 0);
        return;
    }
    waiting = head->queued;
[defers]    head->hopeless = 0;
[defers]    if (@defers[index]) {
[defers]        pass_over(head, index, lw->machine.now);
[defers]        head->hopeless = head->passed == head->queued;
[defers]        waiting = head->hopeless ? head->queued : head->queued - head->passed;
[defers]    }
    first = first_of(head);
    size = batch_of(index, waiting);
    profile = profile_of(index, size);
[head.since]    if (head->rows_left == 0) {
[head.since]        head->since = lw->machine.now;
[head.since]    }
[head.last_start]    if (head->rows_left == 0) {
[head.last_start]        head->last_start = lw->machine.now;
[head.last_start]    }
[head.request]    head->request = first->number;
[head.arrival]    head->arrival = first->arrival;
[head.deadline]    head->deadline = first->deadline;
    head->batch = ($BATCH_TYPE)size;
    head->profile = ($PROFILE_TYPE)profile;
    head->rows_left = @rows[profile];
    head->place = @first_row[profile];
[head.left_compute_cycles]    head->left_compute_cycles = @model_compute_cycles[profile];
[head.left_fetch_cycles]    head->left_fetch_cycles = @model_fetch_cycles[profile];
    load_row(head, first->deadline);
    set_ready(lw, index, 1);
[machine.longest_fetch_cycles]    note_longest_fetch(lw);
    change = changes_at(head, index);
    lw->wake = change < lw->wake ? change : lw->wake;
}

/* Form the heads that arrivals or time have changed. */
static void form_heads(lw_scheduler *lw)
{
    lw->wake = LW_NEVER;
    for (int32_t index = 0; index < LW_TENANTS; index++) {
        lw_head *head = &lw->heads[index];
        if (!head->started && (head->changed || head->rows_left > 0)) {
            int64_t change = head->changed ? 0 : changes_at(head, index);
            if (change <= lw->machine.now) {
                form_head(lw, index);
            } else {
                lw->wake = change < lw->wake ? change : lw->wake;
            }
        }
    }
}

/* The last row of a batch was chosen: its requests leave the queue. */
static void finish_batch(lw_scheduler *lw, int32_t index)
{
    lw_head *head = &lw->heads[index];
    lw_request *last = first_of(head), *rest;
    for (int32_t k = 1; k < (int32_t)head->batch; k++) {
        last = last->next;
    }
    rest = last->next;
    last->next = 0;
[defers]    if (head->hopeless) {
[defers]        head->late = rest;
[defers]        head->passed -= (int32_t)head->batch;
[defers]    } else {
[defers]        head->fresh = rest;
[defers]    }
[!defers]    head->fresh = rest;
    head->queued -= (int32_t)head->batch;
[machine.queued]    lw->machine.queued -= (int32_t)head->batch;
    head->started = 0;
    head->rows_left = 0;
    form_head(lw, index);
}

/* ---- Entry points ---- */

void lw_init(lw_scheduler *lw)
{
    memset(lw, 0, sizeof *lw);
[machine.running]    lw->machine.running = -1;
    lw->wake = LW_NEVER;
[head.tenant]    for (int32_t index = 0; index < LW_TENANTS; index++) {
[head.tenant]        lw->heads[index].tenant = (lw_tenant)index;
[head.tenant]    }
}

int lw_arrive(lw_scheduler *lw, int32_t tenant, lw_request *request)
{
    lw_head *head = &lw->heads[tenant];
[head.arrived]    head->arrived++;
[head.newest]    head->newest = request->arrival;
[limited]    if ((int64_t)head->queued >= (int64_t)@queue_limit[tenant]) {
[limited]        return 0;
[limited]    }
    request->next = 0;
    if (head->fresh == 0) {
        head->fresh = request;
    } else {
        head->fresh_last->next = request;
    }
    head->fresh_last = request;
    head->queued++;
[machine.queued]    lw->machine.queued++;
    if (!head->started) {
        head->changed = 1;
        lw->wake = 0;
    }
    return 1;
}

int64_t lw_next(const lw_scheduler *lw)
{
    int64_t next = lw->machine.now;
[ahead]    int64_t fetched = lw->recent[lw->recent_at];
[!ahead]    int64_t fetched = lw->machine.fetch_end;
    if (fetched > next) {
        next = fetched;
    }
    if (lw->machine.compute_end - $REACH > next) {
        next = lw->machine.compute_end - $REACH;
    }
[!overlap]    if (lw->machine.running < 0 && lw->machine.compute_end > next) {
[!overlap]        next = lw->machine.compute_end;
[!overlap]    }
    return next;
}

static int32_t hold(lw_choice *choice, int64_t until)
{
    choice->until = until;
    return LW_HOLD;
}

/* Count positions in the list of fetches from low numbers again; what they say modulo LW_RING stays. */
static void restart_positions(lw_scheduler *lw)
{
    lw_machine *machine = &lw->machine;
    int32_t rounds = machine->first & ~LW_MASK;
[machine.room_scaled]    int32_t window_rounds = machine->window_first & ~LW_MASK;
[machine.room_scaled]    for (int32_t at = machine->window_first; at < machine->window_last; at++) {
[machine.room_scaled]        lw->fetches[at & LW_MASK].window -= rounds;
[machine.room_scaled]    }
[machine.room_scaled]    machine->window_first -= window_rounds;
[machine.room_scaled]    machine->window_last -= window_rounds;
    machine->first -= rounds;
    machine->last -= rounds;
}

/* Append the next row of a tenant's head to the timelines. */
static void schedule(lw_scheduler *lw, int32_t index, lw_choice *choice)
{
    lw_head *head = &lw->heads[index];
    int64_t fetch_end, compute_end;
[switches]    if ((int32_t)lw->machine.running != index) {
[!overlap]        if (lw->machine.start < lw->machine.compute_end) {
[!overlap]            lw->machine.start = lw->machine.compute_end;
[!overlap]        }
[checkpoints]        if (lw->machine.running >= 0) {
[checkpoints]            const lw_head *left = &lw->heads[lw->machine.running];
[checkpoints]            int64_t live_scaled = (int64_t)@live_bytes[left->place] * $SCALE;
[checkpoints]            lw->machine.start += (live_scaled + ($RATE - 1)) / $RATE;
[checkpoints]        }
[switches]        policy_release(lw);
[switches]    }
    fetch_end = policy_fetch_end_of(lw, head);
    compute_end = (fetch_end > lw->machine.compute_end ? fetch_end : lw->machine.compute_end) + (int64_t)$HEAD_COMPUTE;
    choice->tenant = index;
    choice->profile = (int32_t)head->profile;
    choice->row = (int32_t)head->place - (int32_t)@first_row[head->profile];
    choice->batch = (int32_t)head->batch;
    choice->requests = first_of(head);
    choice->fetch_start = lw->machine.start;
    choice->fetch_end = fetch_end;
    choice->compute_end = compute_end;
    choice->until = fetch_end;
    head->started = 1;
[head.last_start]    head->last_start = lw->machine.start;
    policy_append_fetch(lw, $HEAD_WEIGHT, compute_end);
    lw->machine.fetch_end = fetch_end;
    lw->machine.compute_end = compute_end;
[ahead]    lw->recent[lw->recent_at] = fetch_end;
[ahead]    lw->recent_at = lw->recent_at < $AHEAD ? lw->recent_at + 1 : 0;
    if (lw->machine.appended_scaled > LW_MOST_COUNTED || compute_end - lw->machine.origin > 2 * $REACH) {
        policy_rebase(lw, lw->machine.start);
    }
[head.served_compute_cycles]    head->served_compute_cycles += (int64_t)$HEAD_COMPUTE;
[head.served_fetch_cycles]    head->served_fetch_cycles += (int64_t)$HEAD_FETCH;
[head.left_compute_cycles]    head->left_compute_cycles = ($LEFT_COMPUTE_TYPE)(head->left_compute_cycles - $HEAD_COMPUTE);
[head.left_fetch_cycles]    head->left_fetch_cycles = ($LEFT_FETCH_TYPE)(head->left_fetch_cycles - $HEAD_FETCH);
[!machine.room_scaled]    if (lw->machine.last > LW_MOST_POSITIONS) {
[machine.room_scaled]    if (lw->machine.last > LW_MOST_POSITIONS || lw->machine.window_last > LW_MOST_POSITIONS) {
        restart_positions(lw);
    }
    head->rows_left--;
    choice->last = head->rows_left == 0;
    if (choice->last) {
[machine.running]        lw->machine.running = -1;
        finish_batch(lw, index);
    } else {
[machine.running]        lw->machine.running = ($RUNNING_TYPE)index;
        head->place++;
        load_row(head, choice->requests->deadline);
    }
}

int32_t lw_decide(lw_scheduler *lw, int64_t now, lw_choice *choice)
{
    lw->machine.now = now;
    for (;;) {
        int32_t index;
        if (lw->wake <= now) {
            form_heads(lw);
        }
        if (lw->machine.ready_count == 0) {
            return hold(choice, LW_NEVER);
        }
        lw->machine.start = now + $DECISION_CYCLES;
        if (lw->machine.fetch_end > lw->machine.start) {
            lw->machine.start = lw->machine.fetch_end;
        }
        policy_release(lw);
        if (lw->machine.last - lw->machine.first > LW_MASK) {
            return hold(choice, lw->fetches[lw->machine.first & LW_MASK].done);
        }
[machine.mode]        lw->machine.mode = 0;
        lw->machine.hold_until = LW_NEVER;
        index = $DECIDE;
        if (index == LW_HOLD) {
            int64_t until;
[gives_up]            form_heads(lw); /* of heads that began since, nothing changes by itself any more */
            until = lw->machine.hold_until < lw->wake ? lw->machine.hold_until : lw->wake;
            if (lw->machine.compute_end > now && lw->machine.compute_end < until) {
                until = lw->machine.compute_end;
            }
            return hold(choice, until);
        }
        if (index < 0 || index >= LW_TENANTS || lw->heads[index].rows_left == 0) {
            return LW_BAD;
        }
[drops]        if (@drops[index] && !lw->heads[index].started) {
[drops]            lw_head *head = &lw->heads[index];
[drops]            if (lw->machine.start + (int64_t)@standalone_cycles[head->profile] > head->fresh->deadline) {
[drops]                drop_first(lw, head);
[drops]                form_head(lw, index);
[drops]                continue;
[drops]            }
[drops]        }
        schedule(lw, index, choice);
        return index;
    }
}

void lw_row_done(lw_scheduler *lw, int64_t expected, int64_t actual)
{
    int64_t later = actual - expected;
    if (later == 0) {
        return;
    }
    for (int32_t at = lw->machine.first; at < lw->machine.last; at++) {
        lw_fetch *entry = &lw->fetches[at & LW_MASK];
        if (entry->done >= expected) {
            entry->done += later;
[machine.room_scaled]            entry->key -= later * $RATE;
        }
    }
    lw->machine.compute_end += later;
}
[drops]
[drops]lw_request *lw_dropped(lw_scheduler *lw)
[drops]{
[drops]    lw_request *dropped = lw->dropped;
[drops]    lw->dropped = 0;
[drops]    return dropped;
[drops]}
