// SPDX-License-Identifier: GPL-2.0
/*
 * What the daemon pays for an allocator event, in ns, on words from memory.
 *
 *   ingest record FILE COMMAND [ARG]...    runs COMMAND under the shim and keeps
 *                                          the words of its rings
 *   ingest stacks FILE COMMAND [ARG]...    the same with the stack of each call
 *   ingest random FILE LIVE EVENTS         makes up words: LIVE chunks, any of
 *                                          which may be the next one freed
 *   ingest replay FILE...                  ns an event, medians of 7:
 *       check   copied and found to be whole events (ring_check)
 *       trace   put into packets, in a directory below $TMPDIR
 *       model   decoded, ordered, applied
 *
 * A round of replay takes what a round of the daemon took (a ring of 1 MiB or
 * less). FILE is a sequence of batches: tid, number of words, words; a stack is
 * one of thread 0.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "intake/queue.h"
#include "intake/rings.h"
#include "model/order.h"
#include "probe/words.h"
#include "trace/trace.h"

#define ROUNDS 7
#define RING (1u << 20)

struct batch {
	uint64_t tid, nr;
	uint64_t words[];
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Other programs may run on this CPU meanwhile. */
static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* --- record */

struct recorder {
	FILE *f;
	pid_t child;
	int stamp_fd;
	uint64_t *stamp;
	/* Of one thread, of one round; the stacks among them go before them. */
	uint64_t tid, nr;
	uint64_t words[RING / 8];
};

static int admit(void *ctx, uint32_t tgid, uint32_t flags, int *stamp_fd)
{
	struct recorder *r = ctx;

	(void)flags;
	if (stamp_fd)
		*stamp_fd = r->stamp_fd;
	return (pid_t)tgid == r->child ? 0 : -ESRCH;
}

static void put(FILE *f, uint64_t tid, const uint64_t *w, size_t nr)
{
	uint64_t head[2] = { tid, nr };

	if (fwrite(head, sizeof(head), 1, f) != 1 || fwrite(w, 8, nr, f) != nr)
		die("write");
}

static void flush(struct recorder *r)
{
	if (r->nr)
		put(r->f, r->tid, r->words, r->nr);
	r->nr = 0;
}

static void on_words(void *ctx, uint32_t tgid, uint32_t tid, const uint64_t *w,
		     size_t nr)
{
	struct recorder *r = ctx;

	(void)tgid;
	if (tid != r->tid || r->nr + nr > RING / 8)
		flush(r);
	r->tid = tid;
	memcpy(r->words + r->nr, w, nr * 8);
	r->nr += nr;
}

static void on_stack(void *ctx, const struct event *ev)
{
	uint64_t w[STACK_FRAMES_MAX + 1];
	uint64_t value = ev->stack.nr |
			 (ev->stack.truncated ? STACK_TRUNCATED : 0);

	w[0] = word_ctrl(CTRL_STACK, value);
	memcpy(w + 1, ev->stack.frames, ev->stack.nr * 8);
	put(((struct recorder *)ctx)->f, 0, w, ev->stack.nr + 1);
}

static void start_stamp(struct recorder *r)
{
	r->stamp_fd = memfd_create("stamp", MFD_CLOEXEC);
	if (r->stamp_fd < 0 || ftruncate(r->stamp_fd, 4096))
		die("stamp");
	r->stamp = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
			r->stamp_fd, 0);
	if (r->stamp == MAP_FAILED)
		die("stamp");
}

static void run_target(char **argv, const char *sock)
{
	char shim[PATH_MAX];
	const char *env = getenv("VMAHEAP_SHIM");

	if (env)
		snprintf(shim, sizeof(shim), "%s", env);
	else if (!realpath("build/libvmaheap-shim.so", shim))
		die("build/libvmaheap-shim.so");
	setenv("LD_PRELOAD", shim, 1);
	setenv(SHIM_SOCK_ENV, sock, 1);
	execvp(argv[0], argv);
	die(argv[0]);
}

static int record(const char *path, char **argv, bool stacks)
{
	static const struct rings_ops ops = { .admit = admit,
					      .words = on_words,
					      .stack = on_stack };
	static struct recorder r;
	char sock[] = "/tmp/ingest-XXXXXX/s";
	struct rings *rs;
	int status;

	r.f = fopen(path, "we");
	if (!r.f)
		die(path);
	start_stamp(&r);
	*strrchr(sock, '/') = 0;
	if (!mkdtemp(sock))
		die(sock);
	sock[strlen(sock)] = '/';
	rs = rings_open(sock, RING, true, &ops, &r);
	if (!rs)
		die(sock);
	if (stacks)
		rings_set_stacks(rs, 1);
	r.child = fork();
	if (!r.child)
		run_target(argv, sock);
	while (waitpid(r.child, &status, WNOHANG) == 0) {
		struct timespec ms = { 0, 1000000 };

		__atomic_store_n(r.stamp, now_ns(), __ATOMIC_RELEASE);
		rings_accept(rs);
		rings_drain(rs);
		flush(&r);
		if (!rings_busy(rs))
			nanosleep(&ms, NULL);
	}
	rings_drain(rs);
	flush(&r);
	rings_close(rs);
	*strrchr(sock, '/') = 0;
	rmdir(sock);
	if (fclose(r.f))
		die(path);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* --- made up */

static uint64_t state = 1;

static uint64_t below(uint64_t n)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (state >> 32) * n >> 32;
}

/* Chunks of 16 to 143 bytes, 80 on average with their headers, in one heap. */
static int random_words(const char *path, uint64_t live, uint64_t events)
{
	uint32_t *slot = malloc((live + 1) * sizeof(*slot));
	uint64_t *w = malloc(RING), nr = 0, ts = 1000000000, n = 0;
	FILE *f = fopen(path, "we");
	uint32_t free_slot = 0;

	if (!f || !slot || !w)
		die(path);
	for (uint64_t i = 0; i < live; i++)
		slot[i] = (uint32_t)i;
	for (uint64_t e = 0; e < events; e++) {
		if (nr + 4 > RING / 16) {
			put(f, 1, w, nr);
			nr = 0;
		}
		if (nr == 0)
			w[nr++] = word_value(WORD_HDR_TS, ts += 1000000);
		if (n < live || e & 1) {
			uint32_t at = n < live ? slot[n] : free_slot;

			w[nr++] = word_body(WORD_MALLOC, 16 + below(128),
					    0x555500000000ull + at * 160ull);
			if (n < live)
				n++;
		} else {
			uint64_t i = below(live), j = below(live);

			/* the one freed is what the next malloc gets */
			free_slot = slot[i];
			slot[i] = slot[j];
			slot[j] = free_slot;
			w[nr++] = word_body(WORD_FREE, 0,
					    0x555500000000ull +
						    free_slot * 160ull);
		}
	}
	put(f, 1, w, nr);
	if (fclose(f))
		die(path);
	free(slot);
	free(w);
	return 0;
}

/* --- replay */

static const struct event *peek(void *ctx, bool *sure)
{
	return queue_peek(ctx, sure);
}

static void pop(void *ctx)
{
	queue_pop(ctx);
}

static size_t take(void *ctx, struct call_brief *calls, size_t max)
{
	return queue_take(ctx, calls, max);
}

static const struct source_ops source = { peek, pop, take };

struct thread {
	uint64_t tid;
	struct word_queue q;
};

struct bench {
	struct model *m;
	struct order *o;
	struct trace_writer *trace;
	struct thread *threads[1024];
	size_t nr;
	double check, write, model; /* ns */
	uint64_t words, stacks;
};

static struct thread *thread_of(struct bench *b, uint64_t tid)
{
	struct thread *t;

	for (size_t i = 0; i < b->nr; i++)
		if (b->threads[i]->tid == tid)
			return b->threads[i];
	t = calloc(1, sizeof(*t));
	if (!t || b->nr == 1024)
		die("threads");
	t->tid = tid;
	t->q.st.tgid = 1;
	t->q.st.tid = (uint32_t)tid;
	b->threads[b->nr++] = t;
	order_add(b->o, &source, &t->q, false);
	return t;
}

static void check(struct word_queue *q, const struct batch *in)
{
	int stop;

	if (!queue_reserve(q, in->nr))
		die("queue");
	memcpy(q->buf + q->len, in->words, in->nr * 8);
	q->len += in->nr;
	q->checked += words_run(q->buf + q->checked, q->len - q->checked,
				UINT64_MAX, &stop);
	if (stop || q->checked != q->len) {
		fprintf(stderr, "the words are no events\n");
		exit(1);
	}
	q->sure = q->base + q->checked;
}

struct telling {
	struct bench *b;
	uint32_t tid;
};

static void tell_words(void *ctx, const uint64_t *w, size_t nr)
{
	struct telling *t = ctx;

	if (trace_words(t->b->trace, 1, t->tid, w, nr))
		die("trace_words");
}

static bool tell_ctrl(void *ctx, const uint64_t *w, size_t nr)
{
	(void)ctx, (void)w, (void)nr;
	return true;
}

static void one_stack(struct bench *b, const struct batch *in)
{
	struct words_state st = { .tgid = 1 };
	struct event ev;

	if (words_decode(&st, in->words, in->nr, &ev) != (int)in->nr ||
	    ev.kind != EV_STACK || model_apply(b->m, &ev, NULL))
		die("stack");
	b->stacks++;
}

static void one_batch(struct bench *b, const struct batch *in)
{
	static const struct queue_teller teller = { tell_words, tell_ctrl };
	struct thread *t = thread_of(b, in->tid);
	uint64_t t0 = cpu_ns(), t1, t2, t3;

	check(&t->q, in);
	t1 = cpu_ns();
	order_run(b->o, UINT64_MAX, false, NULL, NULL);
	t2 = cpu_ns();
	if (b->trace)
		queue_tell(&t->q, &teller,
			   &(struct telling){ b, (uint32_t)in->tid });
	t3 = cpu_ns();
	b->check += t1 - t0;
	b->model += t2 - t1;
	b->write += t3 - t2;
	b->words += in->nr;
}

static struct trace_writer *start_trace(char *dir)
{
	struct trace_env env = { .command = "ingest" };
	struct trace_writer *w;
	int fd;

	if (!mkdtemp(dir))
		die(dir);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w = fd < 0 ? NULL : trace_create(fd, &env);
	if (!w)
		die(dir);
	close(fd);
	return w;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *v)
{
	qsort(v, ROUNDS, sizeof(*v), by_value);
	return v[ROUNDS / 2];
}

static struct model *start_model(void)
{
	struct event mm = { .kind = EV_MM,
			    .mm = 1,
			    .ts = 1,
			    .mm_start = { .cause = MM_EXEC, .owner = 1 } };
	struct model *m = model_new();

	if (!m || model_apply(m, &mm, NULL))
		die("model");
	return m;
}

static void end_round(struct bench *b, char *dir)
{
	char cmd[PATH_MAX + 16];

	order_free(b->o);
	model_free(b->m);
	for (size_t i = 0; i < b->nr; i++) {
		queue_free(&b->threads[i]->q);
		free(b->threads[i]);
	}
	if (!b->trace)
		return;
	trace_close(b->trace);
	snprintf(cmd, sizeof(cmd), "rm -r '%s'", dir);
	if (system(cmd))
		die(dir);
}

/* Whole batches and nothing else. */
static bool is_stream(const char *in, off_t size)
{
	off_t at = 0;

	while (size - at >= (off_t)sizeof(struct batch)) {
		const struct batch *x = (const void *)(in + at);

		at += sizeof(*x);
		if (x->nr > (uint64_t)(size - at) / 8)
			return false;
		at += 8 * x->nr;
	}
	return at == size;
}

static int replay(const char *path)
{
	double checks[ROUNDS], writes[ROUNDS], models[ROUNDS], sums[ROUNDS];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const char *tmp = getenv("TMPDIR");
	bool traced = !getenv("NO_TRACE");
	uint64_t events = 0, words = 0;
	struct chunk_sum live = { 0 };
	struct model_totals mt;
	struct stat st;
	char *in;

	if (fd < 0 || fstat(fd, &st))
		die(path);
	in = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd,
		  0);
	if (in == MAP_FAILED)
		die(path);
	if (!is_stream(in, st.st_size)) {
		fprintf(stderr, "%s: not what ingest record writes\n", path);
		return 1;
	}
	for (int r = 0; r < ROUNDS; r++) {
		struct bench b = { .m = start_model() };
		char dir[PATH_MAX];

		snprintf(dir, sizeof(dir), "%s/ingest-XXXXXX",
			 tmp ? tmp : "/tmp");
		b.o = order_new(b.m);
		b.trace = traced ? start_trace(dir) : NULL;
		for (off_t at = 0; at < st.st_size;) {
			const struct batch *x = (const void *)(in + at);

			if (x->tid)
				one_batch(&b, x);
			else
				one_stack(&b, x);
			at += sizeof(*x) + 8 * x->nr;
		}
		mt = model_totals(b.m);
		events = mt.events - 1 - b.stacks;
		words = b.words;
		live = chunk_total(model_space(b.m, 1)->chunks);
		checks[r] = b.check / events;
		writes[r] = b.write / events;
		models[r] = b.model / events;
		sums[r] = (b.check + b.write + b.model) / events;
		end_round(&b, dir);
	}
	munmap(in, st.st_size);
	close(fd);
	printf("%-24s %10" PRIu64 " events, %4.1f bytes each, %8" PRIu64
	       " live: check %5.2f  trace %5.2f  model %5.2f  sum %6.2f ns = %6.1f M/s\n",
	       path, events, 8.0 * words / events, live.chunks, median(checks),
	       median(writes), median(models), median(sums),
	       1000 / median(sums));
	return mt.invalid || mt.no_memory;
}

int main(int argc, char **argv)
{
	int status = 0;

	signal(SIGPIPE, SIG_IGN);
	if (argc >= 4 && !strcmp(argv[1], "record"))
		return record(argv[2], argv + 3, false);
	if (argc >= 4 && !strcmp(argv[1], "stacks"))
		return record(argv[2], argv + 3, true);
	if (argc == 5 && !strcmp(argv[1], "random"))
		return random_words(argv[2], strtoull(argv[3], NULL, 0),
				    strtoull(argv[4], NULL, 0));
	if (argc < 3 || strcmp(argv[1], "replay")) {
		fprintf(stderr,
			"usage: ingest record|stacks FILE COMMAND... | random FILE LIVE EVENTS | replay FILE...\n");
		return 2;
	}
	for (int i = 2; i < argc; i++)
		status |= replay(argv[i]);
	return status;
}
