// SPDX-License-Identifier: GPL-2.0
/*
 * A session: a ring that hooks fill, and a worker that carries it away.
 *
 *   hook --lock--> ring --irq_work--> worker --send--> messages to the port
 *
 * A hook copies bytes and, when the worker sleeps or an eighth of the ring is
 * full, raises an irq_work: waking a task is left to that, because a hook may
 * run where waking is not allowed. The worker runs 5 ms later, or at once for
 * that eighth, and then every 5 ms until it finds nothing, so that a busy target
 * seldom pays for an interrupt. When the receiver has no room the ring keeps
 * what it holds, the hooks leave ranges dirty (watch.c), and the worker tries
 * again.
 */
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "vh.h"

#define DELAY msecs_to_jiffies(5)

static LIST_HEAD(dying); /* vh_control */
static struct vmaheap_stats past; /* of sessions that have ended; vh_control */

/* Changes of vh_sessions also take this, so that a look needs no vh_control. */
static DEFINE_SPINLOCK(sessions_lock);

LIST_HEAD(vh_sessions);
DEFINE_MUTEX(vh_control);

static void tidy_work(struct work_struct *work)
{
	vh_tidy();
}
static DECLARE_WORK(tidy, tidy_work);

/* --- the ring */

static struct vmaheap_record *at(struct vh_session *ses, u64 pos)
{
	return (void *)(ses->ring + (pos & (ses->size - 1)));
}

/*
 * The record at *pos, and *pos moved behind it; NULL for the filler at the end
 * of the ring, which is known by a ts of 0.
 */
struct vmaheap_record *vh_step(struct vh_session *ses, u64 *pos)
{
	struct vmaheap_record *rec = at(ses, *pos);

	if (rec->ts) {
		*pos += rec->size;
		return rec;
	}
	*pos = (*pos | (ses->size - 1)) + 1;
	return NULL;
}

/* An overwriting ring forgets its oldest record. */
static void drop_oldest(struct vh_session *ses)
{
	struct vmaheap_record *rec = vh_step(ses, &ses->tail);

	if (rec)
		ses->first = rec->seq + 1;
}

static bool make_room(struct vh_session *ses, u32 size, u32 keep)
{
	while (ses->overwrite && ses->head - ses->tail + size > ses->size)
		drop_oldest(ses);
	/* Pairs with the release in vh_send(): the bytes have been read. */
	return ses->head - smp_load_acquire(&ses->tail) + size + keep <=
	       ses->size;
}

/*
 * Room for a record of `size` bytes, or NULL. The last eighth of the ring is
 * kept for the small records that are owed (births and deaths), so that these
 * wait only when the reader is stuck for long; and half of it for whatever is no
 * page fault, of which there can be any number.
 */
void *vh_reserve(struct vh_session *ses, u32 size, u32 eighths)
{
	u32 keep = ses->overwrite ? 0 : ses->size / 8 * eighths;
	u32 rest = ses->size - (ses->head & (ses->size - 1));

	if (rest < size) {
		if (!make_room(ses, rest + size, keep))
			goto full;
		at(ses, ses->head)->ts = 0;
		/* Pairs with vh_send(): the filler is written. */
		smp_store_release(&ses->head, ses->head + rest);
	}
	if (make_room(ses, size, keep))
		return at(ses, ses->head);
full:
	vh_kick(ses);
	return NULL;
}

/* Numbers and dates the record that was reserved last, and puts it in line. */
u64 vh_commit(struct vh_session *ses, struct vmaheap_record *rec)
{
	u64 ts = vh_clock();

	rec->seq = ++ses->seq;
	rec->ts = ts;
	ses->stats.records++;
	if (static_branch_unlikely(&vh_traced))
		vh_trace(ses->port, rec);
	/* Pairs with vh_send(): the record is written. */
	smp_store_release(&ses->head, ses->head + rec->size);
	vh_kick(ses);
	return ts;
}

/* --- the worker */

void vh_kick(struct vh_session *ses)
{
	u64 used = ses->head - READ_ONCE(ses->tail);
	u8 want = !ses->overwrite && used >= ses->size / 8 ? 2 : 1;

	if (ses->kicked >= want)
		return;
	WRITE_ONCE(ses->kicked, want);
	irq_work_queue(&ses->kick);
}

static void kick_work(struct irq_work *work)
{
	struct vh_session *ses = container_of(work, struct vh_session, kick);

	if (READ_ONCE(ses->kicked) == 2 && !READ_ONCE(ses->congested))
		mod_delayed_work(vh_wq, &ses->work, 0);
	else
		queue_delayed_work(vh_wq, &ses->work, DELAY);
}

/* The records from `pos` on that fit into one message and lie in one piece. */
static u32 batch(struct vh_session *ses, u64 pos, u64 head, u64 *seq)
{
	u64 start = pos, next = pos;

	while (pos < head && (pos == start || (pos & (ses->size - 1)))) {
		struct vmaheap_record *rec = vh_step(ses, &next);

		if (!rec || (pos > start && next - start > VMAHEAP_BATCH_BYTES))
			break;
		*seq = rec->seq;
		pos = next;
	}
	return pos - start;
}

/*
 * Hands over what is in line, up to the record `upto`. Under session.send.
 * Returns 0, -EAGAIN when the receiver is full, -ECONNREFUSED when it is gone.
 */
int vh_send(struct vh_session *ses, u64 upto)
{
	/* Pairs with vh_reserve() and vh_commit(). */
	u64 head = smp_load_acquire(&ses->head);
	u64 seq = 0;

	while (ses->tail < head && seq < upto) {
		u32 len = batch(ses, ses->tail, head, &seq);
		int err;

		if (READ_ONCE(ses->dead))
			return -ECONNREFUSED;
		if (!len) { /* the filler */
			u64 next = ses->tail;

			vh_step(ses, &next);
			/* Pairs with make_room(), as below. */
			smp_store_release(&ses->tail, next);
			continue;
		}
		err = vh_send_records(ses->port, at(ses, ses->tail), len);
		WRITE_ONCE(ses->congested, err != 0);
		if (err) {
			ses->stats.retries++;
			return err;
		}
		ses->stats.messages++;
		/* Pairs with make_room(): the bytes have been copied. */
		smp_store_release(&ses->tail, ses->tail + len);
	}
	return 0;
}

/* The next address space with a range due that this round has not seen. */
static struct vh_mm *next_dirty(struct vh_session *ses, u32 visit)
{
	struct vh_due *due;
	struct vh_mm *m;

	list_for_each_entry(due, &ses->due, node) {
		if (due->is_proc)
			continue;
		m = container_of(due, struct vh_mm, due);
		if (m->visit != visit && m->announced && !m->exited &&
		    !m->dead && (m->lo < m->hi || m->snapshot))
			return m;
	}
	return NULL;
}

/* Under mm's mmap_lock (read), which shuts the mark hooks out. */
static bool emit_late(struct vh_mm *m)
{
	static const struct vh_actor nobody = { .syscall = -1 };
	struct vh_session *ses = m->ses;
	bool fits = true;
	u16 flags = 0;

	raw_spin_lock(&ses->lock);
	if (!ses->dead && !m->dead && !m->exited) {
		if (m->lo < m->hi)
			flags |= m->whole ? VMAHEAP_F_SNAPSHOT : VMAHEAP_F_LATE;
		if (m->snapshot) {
			flags |= VMAHEAP_F_SNAPSHOT;
			m->lo = VH_LO;
			m->hi = VH_HI;
			m->snapshot = false;
		}
		if (flags)
			fits = vh_emit_range(m, flags, &nobody);
		vh_settle(m);
	}
	raw_spin_unlock(&ses->lock);
	return fits;
}

/*
 * Says what hooks could not say. Under session.send, so the entries stay. An mm
 * without users is on its way into exit_mmap(), whose hook says the rest. Nobody
 * waits for an mmap_lock here: its holder may be stuck for long, and its release
 * reports the range anyway.
 */
static void catch_up(struct vh_session *ses)
{
	u32 round = ++ses->round;
	bool fits = true;

	vh_tell_parked(ses);
	while (fits) {
		struct vh_mm *m = NULL;

		raw_spin_lock(&ses->lock);
		/* A dead session is not kicked any more (vh_session_end()). */
		fits = !ses->dead && vh_tell_owed(ses);
		if (fits)
			m = next_dirty(ses, round);
		if (m)
			m->visit = round;
		raw_spin_unlock(&ses->lock);
		if (!m)
			break;
		if (!mmget_not_zero(m->mm))
			continue;
		if (mmap_read_trylock(m->mm)) {
			fits = emit_late(m);
			mmap_read_unlock(m->mm);
		}
		/*
		 * Not here, should its last user go now: a teardown may wait
		 * for whoever serves a mapped file.
		 */
		mmput_async(m->mm);
	}
}

static bool anything_due(struct vh_session *ses)
{
	bool due;

	raw_spin_lock(&ses->lock);
	due = !list_empty(&ses->due) || ses->owed || ses->nr_parked ||
	      (!ses->overwrite && ses->head != ses->tail);
	raw_spin_unlock(&ses->lock);
	return due;
}

static void session_work(struct work_struct *work)
{
	struct vh_session *ses =
		container_of(to_delayed_work(work), struct vh_session, work);
	bool busy;
	int err = 0;

	mutex_lock(&ses->send);
	/*
	 * Before the ring is looked at: what comes later kicks again, or is
	 * found by the run that follows this one.
	 */
	raw_spin_lock(&ses->lock);
	busy = ses->stats.records != ses->seen;
	ses->seen = ses->stats.records;
	WRITE_ONCE(ses->kicked, busy);
	raw_spin_unlock(&ses->lock);

	if (!ses->overwrite)
		err = vh_send(ses, U64_MAX);
	if (!err) {
		catch_up(ses);
		if (!ses->overwrite)
			err = vh_send(ses, U64_MAX);
	}
	vh_reap(ses);
	mutex_unlock(&ses->send);
	vh_spares_fill();

	if (ses->wait)
		wake_up_interruptible(ses->wait);
	/* A port that is gone ends the session by its URELEASE notification. */
	if (err != -ECONNREFUSED && (busy || anything_due(ses)))
		queue_delayed_work(vh_wq, &ses->work, DELAY);
	if (!atomic_read(&vh_users))
		queue_work(vh_wq, &tidy);
}

/*
 * Puts everything that has happened in line and hands it over. seq and ts are
 * taken in one locked moment in which nothing is due: the records up to seq,
 * and no others, are dated before ts. -EAGAIN: the receiver is full, or a target
 * holds its mmap_lock for more than the 0.1 s that this takes its time.
 */
int vh_flush(struct vh_session *ses, u64 *seq, u64 *ts)
{
	bool done = false;
	int err = 0, tries;

	mutex_lock(&ses->send);
	for (tries = 0; !done && tries < 1000; tries++) {
		catch_up(ses);
		raw_spin_lock(&ses->lock);
		done = list_empty(&ses->due) && !ses->owed && !ses->nr_parked;
		*seq = ses->seq;
		*ts = vh_clock();
		raw_spin_unlock(&ses->lock);
		err = vh_send(ses, *seq);
		if (err)
			break;
		if (!done)
			usleep_range(100, 200);
	}
	vh_reap(ses);
	mutex_unlock(&ses->send);
	return err ?: done ? 0 : -EAGAIN;
}

/* --- lifetime */

/* Its records number tasks as the pid namespace `ns` does. */
struct vh_session *vh_session_new(u32 port, struct pid_namespace *ns)
{
	struct vh_session *ses = kvzalloc(sizeof(*ses), GFP_KERNEL_ACCOUNT);

	if (!ses)
		return NULL;
	ses->size = roundup_pow_of_two(clamp(vh_buffer_kib, 64U, 65536U) << 10);
	ses->ring = vmalloc(ses->size);
	if (!ses->ring) {
		kvfree(ses);
		return NULL;
	}
	ses->port = port;
	ses->ns = get_pid_ns(ns);
	ses->first = 1;
	mutex_init(&ses->send);
	raw_spin_lock_init(&ses->lock);
	INIT_DELAYED_WORK(&ses->work, session_work);
	init_irq_work(&ses->kick, kick_work);
	INIT_LIST_HEAD(&ses->due);
	INIT_LIST_HEAD(&ses->mms);
	INIT_LIST_HEAD(&ses->procs);
	spin_lock(&sessions_lock);
	list_add_tail(&ses->node, &vh_sessions);
	spin_unlock(&sessions_lock);
	return ses;
}

struct vh_session *vh_session_find(u32 port)
{
	struct vh_session *ses;

	lockdep_assert_held(&vh_control);
	list_for_each_entry(ses, &vh_sessions, node)
		if (ses->port == port)
			return ses;
	return NULL;
}

/* Whether a session has this port; for those who must not wait for vh_control. */
bool vh_port_known(u32 port)
{
	struct vh_session *ses;
	bool known = false;

	spin_lock(&sessions_lock);
	list_for_each_entry(ses, &vh_sessions, node)
		known |= ses->port == port;
	spin_unlock(&sessions_lock);
	return known;
}

/*
 * A session ends in four steps, the last three in vh_tidy():
 *
 *   make dead    session.dead, under its lock: nothing is put in line and
 *                nothing kicks any more; hooks find no entry of it (unhashed)
 *   synchronize  a hook that still found one has left: hooks run with
 *                preemption off or under RCU
 *   flush        first the irq_work, which starts the worker, then the worker,
 *                which may requeue itself until it is cancelled
 *   drop         the last references: entries, pid namespace, ring
 */
void vh_session_end(struct vh_session *ses)
{
	lockdep_assert_held(&vh_control);
	raw_spin_lock(&ses->lock);
	ses->dead = true;
	raw_spin_unlock(&ses->lock);
	vh_forget(ses);
	spin_lock(&sessions_lock);
	list_move_tail(&ses->node, &dying);
	spin_unlock(&sessions_lock);
	queue_work(vh_wq, &tidy);
}

static void session_free(struct vh_session *ses)
{
	vh_add_stats(ses, &past);
	vh_free_entries(ses);
	while (ses->nr_parked)
		fput(ses->parked[--ses->nr_parked]);
	put_pid_ns(ses->ns);
	vfree(ses->ring);
	kvfree(ses);
}

/* Buries dead sessions, and disarms the hooks when nothing is watched. */
void vh_tidy(void)
{
	struct vh_session *ses, *next;

	mutex_lock(&vh_control);
	if (!list_empty(&dying))
		synchronize_rcu();
	list_for_each_entry_safe(ses, next, &dying, node) {
		irq_work_sync(&ses->kick);
		cancel_delayed_work_sync(&ses->work);
		list_del(&ses->node);
		session_free(ses);
	}
	if (!atomic_read(&vh_users))
		vh_disarm();
	mutex_unlock(&vh_control);
}

/* The module goes: nobody can start a session any more. */
void vh_sessions_exit(void)
{
	struct vh_session *ses, *next;

	mutex_lock(&vh_control);
	list_for_each_entry_safe(ses, next, &vh_sessions, node)
		vh_session_end(ses);
	mutex_unlock(&vh_control);
	vh_tidy();
	cancel_work_sync(&tidy);
}

/* --- statistics */

void vh_add_stats(struct vh_session *ses, struct vmaheap_stats *sum)
{
	struct vh_proc *p;
	struct vh_mm *m;

	raw_spin_lock(&ses->lock);
	sum->records += ses->stats.records;
	sum->coalesced += ses->stats.coalesced;
	sum->lost += ses->stats.lost;
	sum->messages += READ_ONCE(ses->stats.messages);
	sum->retries += READ_ONCE(ses->stats.retries);
	if (!ses->dead) {
		list_for_each_entry(p, &ses->procs, node)
			sum->processes += !p->dead;
		list_for_each_entry(m, &ses->mms, node)
			sum->mms += !m->dead && !m->exited;
		sum->sessions++;
	}
	raw_spin_unlock(&ses->lock);
}

void vh_total_stats(struct vmaheap_stats *sum)
{
	struct vh_session *ses;

	lockdep_assert_held(&vh_control);
	*sum = past;
	list_for_each_entry(ses, &vh_sessions, node)
		vh_add_stats(ses, sum);
	list_for_each_entry(ses, &dying, node)
		vh_add_stats(ses, sum);
	sum->hooks = vh_hooks_armed();
}
