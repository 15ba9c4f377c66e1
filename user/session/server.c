// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "export/export.h"
#include "export/openmetrics.h"
#include "output/output.h"
#include "output/picture.h"
#include "session/ask.h"
#include "session/notify.h"
#include "session/peer.h"
#include "session/privilege.h"
#include "session/server.h"
#include "session/session.h"
#include "session/wire.h"

#define VERIFY_TRIES 5
#define WALK_MS 1000 /* between two walks through the heap */
#define WATCHES_MAX 256
#define CLIENTS_MAX (WATCHES_MAX + 64) /* there is always place to ask */
#define SESSION_FDS 3

/* A connection; a session belongs to the client that asked for it. */
struct client {
	int fd;
	struct peer peer;
	struct session *session;
	bool follow;
	bool finishing; /* "finish" was asked */
	bool told_done;
	uint64_t due; /* ms: when the session's next round is due */
};

struct server {
	const char *path;
	int listen_fd, signal_fd;
	bool private, stop;
	struct client clients[CLIENTS_MAX];
	size_t nr;
	unsigned int shim_socks; /* ever made: they are numbered */
	struct symbols *symbols;
	const char *metrics; /* file; NULL: none */
	uint64_t metrics_due; /* ms */
	int metrics_err; /* the last one that was told of */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t now_ms(void)
{
	return now_ns() / 1000000;
}

__attribute__((format(printf, 2, 3))) static void
complain(const struct client *c, const char *fmt, ...)
{
	char text[600];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n > 0)
		wire_send(c->fd, WIRE_ERR, text, strlen(text));
}

static void on_say(void *ctx, const char *sentence)
{
	/* The client's place in the array may change, its descriptor does not. */
	int fd = (int)(intptr_t)ctx;
	char text[600];

	snprintf(text, sizeof(text), "vmaheap: %s\n", sentence);
	wire_send(fd, WIRE_ERR, text, strlen(text));
}

static void on_fired(void *ctx, const char *sentence)
{
	wire_send((int)(intptr_t)ctx, WIRE_FIRED, sentence, strlen(sentence));
}

/* --- questions ----------------------------------------------------------- */

struct question {
	const char *buf; /* the request's strings */
	size_t len;
	uint32_t pid;
	bool json;
	bool trusted; /* who asks is root, or runs this daemon */
	struct session *session; /* that watches pid */
};

static const char *arg(const struct question *q, const char *key)
{
	return wire_value(q->buf, q->len, key);
}

static struct space *question_space(const struct question *q)
{
	return model_process(session_model(q->session), q->pid);
}

static struct output question_output(struct server *sv,
				     const struct question *q, FILE *f)
{
	return (struct output){ .f = f,
				.json = q->json,
				.model = session_model(q->session),
				.symbols = sv->symbols,
				.now = now_ns(),
				.start = session_began(q->session),
				.stack_bytes = session_stack_bytes(q->session),
				.alloc = session_alloc_name(
					session_alloc(q->session)) };
}

/* The processes of one session that live and that this client may see. */
static size_t list_session(struct server *sv, const struct client *c,
			   struct session *session, size_t nr, FILE *f)
{
	const struct model *m = session_model(session);
	struct question q = { .session = session };
	struct output o = question_output(sv, &q, f);
	size_t i;

	for (i = 0; i < model_spaces(m); i++) {
		const struct space *s = model_space_at(m, i);

		if (s->died || s != model_process(m, s->owner) ||
		    !peer_may_see(&c->peer, s->owner))
			continue;
		fputc(nr++ ? ',' : '[', f);
		output_list_entry(&o, s);
	}
	return nr;
}

static void list(struct server *sv, struct client *c)
{
	char *text = NULL;
	size_t len, i, nr = 0;
	FILE *f = open_memstream(&text, &len);
	bool failed;

	for (i = 0; f && i < sv->nr; i++)
		if (sv->clients[i].session)
			nr = list_session(sv, c, sv->clients[i].session, nr, f);
	if (f)
		fputs(nr ? "]\n" : "[]\n", f);
	failed = !f || fclose(f);
	if (!failed)
		wire_send(c->fd, WIRE_OUT, text, len);
	free(text);
	wire_exit(c->fd, failed ? 125 : 0);
}

static int answer_maps(struct server *sv, const struct question *q, FILE *f)
{
	struct output o = question_output(sv, q, f);

	return output_maps(&o, question_space(q)) ? 125 : 0;
}

static int answer_report(struct server *sv, const struct question *q, FILE *f)
{
	struct output o = question_output(sv, q, f);

	return output_report(&o, question_space(q)) ? 125 : 0;
}

/* The past is not in the model: no history. */
static int answer_html(struct server *sv, const struct question *q, FILE *f)
{
	struct output o = question_output(sv, q, f);

	return output_page(&o, NULL, question_space(q)) ? 125 : 0;
}

static int answer_svg(struct server *sv, const struct question *q, FILE *f)
{
	struct output o = question_output(sv, q, f);

	return output_svg(&o, question_space(q)) ? 125 : 0;
}

static int answer_stacks(struct server *sv, const struct question *q, FILE *f)
{
	struct output o = question_output(sv, q, f);
	enum stack_order by = STACKS_LIVE;
	const char *folded = arg(q, "folded"), *order = arg(q, "by");

	if (!order || stack_order_parse(order, &by))
		return 125;
	return (folded ? output_folded : output_stacks)(&o, question_space(q),
							by) ?
		       125 :
		       0;
}

static int64_t clock_offset(void)
{
	struct timespec real;

	clock_gettime(CLOCK_REALTIME, &real);
	return (int64_t)real.tv_sec * 1000000000 + real.tv_nsec -
	       (int64_t)now_ns();
}

static int answer_export(struct server *sv, const struct question *q, FILE *f)
{
	struct output o = question_output(sv, q, f);
	const char *name = arg(q, "format");
	const struct export_format *fmt = name ? export_format(name) : NULL;
	struct export x = { .o = &o,
			    .only = question_space(q),
			    .clock_offset = clock_offset() };

	if (!fmt || !fmt->state)
		return 125;
	return ask_export(fmt, &x) ? 125 : 0;
}

static int answer_waste(struct server *sv, const struct question *q, FILE *f)
{
	struct output o = question_output(sv, q, f);
	const char *order = arg(q, "by");
	enum waste_order by;

	if (!order || waste_order_parse(order, &by))
		return 125;
	return ask_waste(&o, question_space(q), by, arg(q, "folded"), f) ? 125 :
									   0;
}

static int answer_why(struct server *sv, const struct question *q, FILE *f)
{
	struct output o = question_output(sv, q, f);
	const char *addr = arg(q, "addr"), *what = arg(q, "what");

	if (what && ask_is_known(what))
		return ask_look(what, &o, question_space(q), f) ? 125 : 0;
	if (!addr)
		return 125;
	return ask_why(&o, question_space(q), strtoull(addr, NULL, 16),
		       q->trusted) ?
		       125 :
		       0;
}

/* The path of the trace, for questions that take all of it. */
static int answer_trace(struct server *sv, const struct question *q, FILE *f)
{
	char path[PATH_MAX];
	int err = session_trace_path(q->session, path, sizeof(path));

	(void)sv;
	if (!err)
		fputs(path, f);
	return err ? 125 : 0;
}

/* On a busy machine a thread may take long to stop, and who asks may wait. */
static int verify_patiently(struct session *s, uint32_t pid, FILE *f)
{
	int tries = VERIFY_TRIES, rc;

	do {
		rc = session_verify(s, pid, f);
	} while (rc == -ETIMEDOUT && --tries);
	return rc;
}

static int answer_verify(struct server *sv, const struct question *q, FILE *f)
{
	int rc = verify_patiently(q->session, q->pid, f);
	struct space *sp = question_space(q);

	(void)sv;
	if (rc < 0) {
		fprintf(f, "process %u could not be compared: %s\n", q->pid,
			session_verify_why(rc));
		return 125;
	}
	fprintf(f, "verify: 1 check, %zu VMAs compared, %d mismatches\n",
		sp ? vma_map_count(sp->vmas) : 0, rc);
	return rc ? 123 : 0;
}

static const struct {
	const char *name;
	int (*answer)(struct server *sv, const struct question *q, FILE *f);
	bool refresh;
} questions[] = {
	{ "maps", answer_maps, true },	    { "report", answer_report, true },
	{ "html", answer_html, true },	    { "svg", answer_svg, true },
	{ "stacks", answer_stacks, true },  { "why", answer_why, true },
	{ "export", answer_export, true },  { "waste", answer_waste, true },
	{ "verify", answer_verify, false }, { "trace", answer_trace, true },
};

static struct session *session_of(struct server *sv, uint32_t pid)
{
	size_t i;

	for (i = 0; i < sv->nr; i++)
		if (sv->clients[i].session &&
		    session_has(sv->clients[i].session, pid))
			return sv->clients[i].session;
	return NULL;
}

static int answer(struct server *sv, struct client *c, size_t which,
		  const struct question *q)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	int status;

	if (!f)
		return 125;
	if (questions[which].refresh)
		session_refresh(q->session, q->pid);
	status = questions[which].answer(sv, q, f);
	fclose(f);
	if (len)
		wire_send(c->fd, WIRE_OUT, text, len);
	free(text);
	return status;
}

static void ask(struct server *sv, struct client *c, size_t which,
		const char *buf, size_t len)
{
	struct question q = { .buf = buf, .len = len };
	const char *pid = wire_value(buf, len, "pid");

	q.pid = pid ? (uint32_t)strtoul(pid, NULL, 10) : 0;
	q.json = wire_value(buf, len, "json");
	q.trusted = c->peer.trusted;
	q.session = session_of(sv, q.pid);
	/* Who may not see it learns nothing, not even that it is watched. */
	if (!q.session || !peer_may_see(&c->peer, q.pid)) {
		/* No text: the command may have other daemons to ask. */
		wire_exit(c->fd, -ESRCH);
		return;
	}
	if (!question_space(&q))
		session_refresh(q.session, q.pid);
	if (!question_space(&q)) {
		complain(c, "vmaheap: process %u has not called exec yet\n",
			 q.pid);
		wire_exit(c->fd, 125);
		return;
	}
	wire_exit(c->fd, answer(sv, c, which, &q));
}

/* --- sessions ------------------------------------------------------------ */

static enum session_alloc parse_alloc(const char *name)
{
	if (name && !strcmp(name, "shim"))
		return ALLOC_SHIM;
	if (name && !strcmp(name, "auto"))
		return ALLOC_AUTO;
	if (name && !strncmp(name, "walk", 4))
		return ALLOC_WALK;
	return name && !strcmp(name, "uprobe") ? ALLOC_UPROBE : ALLOC_NONE;
}

/* "walk:MS" */
static unsigned int parse_walk(const char *name)
{
	const char *ms = name ? strchr(name, ':') : NULL;

	return ms ? (unsigned int)strtoul(ms + 1, NULL, 10) : WALK_MS;
}

static uint64_t number_of(const char *buf, size_t len, const char *key)
{
	const char *v = wire_value(buf, len, key);

	return v ? strtoull(v, NULL, 10) : 0;
}

/* How much of the trace is kept, and where; 0, or -EINVAL. */
static int parse_limits(struct session_opts *o, const char *buf, size_t len)
{
	const char *triggers = wire_value(buf, len, "triggers");
	uint64_t flight = number_of(buf, len, "flight");
	char text[256], *t, *save = NULL;

	o->flight = flight;
	o->limits.bytes = flight ? flight : number_of(buf, len, "max_size");
	o->limits.ns = number_of(buf, len, "max_age");
	if (!triggers)
		return 0;
	snprintf(text, sizeof(text), "%s", triggers);
	for (t = strtok_r(text, ",", &save); t; t = strtok_r(NULL, ",", &save))
		if (!trigger_parse(&o->triggers, t))
			return -EINVAL;
	return 0;
}

static size_t count_watches(const struct server *sv)
{
	size_t i, n = 0;

	for (i = 0; i < sv->nr; i++)
		n += sv->clients[i].session != NULL;
	return n;
}

static void start(struct server *sv, struct client *c, const char *buf,
		  size_t len, int dir)
{
	const char *pid = wire_value(buf, len, "pid");
	const char *verify = wire_value(buf, len, "verify");
	const char *ring = wire_value(buf, len, "ring");
	const char *stacks = wire_value(buf, len, "stacks");
	char sock[160], ready[200];
	struct session_opts o = {
		.pid = pid ? (uint32_t)strtoul(pid, NULL, 10) : 0,
		.follow = wire_value(buf, len, "follow"),
		.on_exec = wire_value(buf, len, "on_exec"),
		.no_module = wire_value(buf, len, "no_module"),
		.faults = wire_value(buf, len, "faults"),
		.alloc = parse_alloc(wire_value(buf, len, "alloc")),
		.walk_ms = parse_walk(wire_value(buf, len, "alloc")),
		.probe_file = wire_value(buf, len, "probe"),
		.program = wire_value(buf, len, "program"),
		.trace_dir = dir,
		.command = wire_value(buf, len, "command"),
		.verify_ms = verify ? (unsigned int)strtoul(verify, NULL, 10) :
				      0,
		.ring_bytes = ring ? strtoul(ring, NULL, 10) : 0,
		.stack_bytes = stacks ? strtoull(stacks, NULL, 10) : 0,
		.shim_sock = sock,
		.fired = on_fired,
		.say = on_say,
		.say_ctx = (void *)(intptr_t)c->fd,
	};
	char *why = NULL;
	int n;

	if (c->session) {
		close(dir);
		complain(c, "vmaheap: this connection has a session already\n");
		wire_exit(c->fd, 125);
		return;
	}
	if (count_watches(sv) >= WATCHES_MAX) {
		close(dir);
		complain(
			c,
			"vmaheap: the daemon has %d watches, and takes no more\n",
			WATCHES_MAX);
		wire_exit(c->fd, 125);
		return;
	}
	snprintf(sock, sizeof(sock), "%s/shim-%d-%u.sock", wire_dir(), getpid(),
		 sv->shim_socks++);
	if (parse_limits(&o, buf, len)) {
		close(dir);
		complain(c,
			 "vmaheap: the daemon does not know these triggers\n");
		wire_exit(c->fd, 125);
		return;
	}
	c->session = session_start(&o, &why);
	if (!c->session) {
		complain(c, "vmaheap: %s\n", why ? why : strerror(errno));
		wire_exit(c->fd, 125);
		free(why);
		return;
	}
	c->follow = o.follow;
	c->due = 0;
	n = snprintf(ready, sizeof(ready), "shim_sock=%s", sock);
	wire_send(c->fd, WIRE_READY, ready, (size_t)n + 1);
}

static void dump(struct client *c, int dir)
{
	int err = session_dump(c->session, dir);

	if (err)
		complain(c,
			 "vmaheap: what was recorded cannot be written%s: %s\n",
			 err == -ENOSPC ? " whole" : "",
			 err == -EOPNOTSUPP ? "there is no --flight-recorder" :
					      strerror(-err));
	wire_exit(c->fd, err ? 125 : 0);
}

static int finish_status(const struct session_totals *t)
{
	if (t->model.check_mismatches)
		return 123;
	return t->trace.error || t->model.no_memory ? 125 : 0;
}

/* When the next one begins a file may be another one. */
static void end_session(struct server *sv, struct client *c)
{
	session_stop(c->session);
	c->session = NULL;
	if (count_watches(sv))
		return;
	symbols_free(sv->symbols);
	sv->symbols = symbols_new(NULL);
}

static void finish(struct server *sv, struct client *c)
{
	struct session_totals t;
	char *text = NULL;
	size_t len;
	FILE *f;

	session_finish(c->session);
	f = open_memstream(&text, &len);
	if (f) {
		t = session_totals(c->session);
		session_print_checks(c->session, f);
		session_print_price(c->session, f);
		session_print_losses(c->session, f);
		session_print_kept(c->session, f);
		fclose(f);
		wire_send(c->fd, WIRE_ERR, text, len);
		free(text);
		wire_exit(c->fd, finish_status(&t));
	}
	end_session(sv, c);
	c->finishing = false;
}

/* --- clients ------------------------------------------------------------- */

static void drop_client(struct server *sv, size_t i)
{
	struct client *c = &sv->clients[i];

	if (c->session) {
		session_finish(c->session);
		end_session(sv, c);
	}
	close(c->fd);
	sv->clients[i] = sv->clients[--sv->nr];
}

static void tick(struct server *sv, struct client *c)
{
	if (!c->session || now_ms() < c->due)
		return;
	c->due = now_ms() + session_tick(c->session);
	if (!session_alive(c->session) && !c->told_done) {
		c->told_done = true;
		wire_send(c->fd, WIRE_DONE, "", 0);
	}
	if (c->finishing && (!c->follow || !session_alive(c->session)))
		finish(sv, c);
}

static void handle(struct server *sv, struct client *c, const char *buf,
		   size_t len, int pass)
{
	const char *pid = wire_value(buf, len, "pid");
	size_t i;

	if (!strcmp(buf, "start") && c->peer.trusted && !c->session) {
		start(sv, c, buf, len, pass);
		return;
	}
	if (!strcmp(buf, "dump") && c->session && pass >= 0) {
		dump(c, pass);
		close(pass);
		return;
	}
	if (pass >= 0)
		close(pass);
	if (!strcmp(buf, "start")) {
		complain(
			c, "vmaheap: %s\n",
			c->session ?
				"this connection watches already" :
				"this daemon lets only root watch (CAP_SYS_PTRACE)");
		wire_exit(c->fd, 125);
		return;
	}
	if (!strcmp(buf, "runs") && c->session) {
		c->due = 0;
		tick(sv, c);
		wire_exit(c->fd, 0);
		return;
	}
	if (!strcmp(buf, "finish") && c->session) {
		c->finishing = true;
		/* else the answer is due when all that is watched has exited */
		if (wire_value(buf, len, "now"))
			c->follow = false;
		return;
	}
	if (!strcmp(buf, "list")) {
		list(sv, c);
		return;
	}
	for (i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		if (!strcmp(buf, questions[i].name)) {
			ask(sv, c, i, buf, len);
			return;
		}
	}
	/* Another daemon, which is newer, may watch the process that this is about. */
	if (pid && !session_of(sv, (uint32_t)strtoul(pid, NULL, 10))) {
		wire_exit(c->fd, -ESRCH);
		return;
	}
	complain(c, "vmaheap: the daemon does not know the request '%.40s'\n",
		 buf);
	wire_exit(c->fd, 125);
}

/* False: the client is gone. */
static bool read_client(struct server *sv, struct client *c)
{
	static char buf[WIRE_MAX + 1];
	int pass;
	ssize_t len = wire_recv(c->fd, buf, &pass);

	if (len == -EAGAIN || len == -EINTR)
		return true;
	if (len <= 0)
		return false;
	handle(sv, c, buf, (size_t)len, pass);
	return true;
}

/* Those whom the group lets in are the first to go; false: there are none. */
static bool make_place(struct server *sv)
{
	size_t i;

	for (i = 0; i < sv->nr; i++) {
		if (sv->clients[i].peer.trusted)
			continue;
		drop_client(sv, i);
		return true;
	}
	return false;
}

static void add_client(struct server *sv, int fd)
{
	struct peer peer = peer_of(fd);

	if (sv->nr == CLIENTS_MAX && !make_place(sv)) {
		close(fd);
		return;
	}
	/* The watches wait while an answer does. */
	wire_patience(fd, peer.trusted ? 10000 : 500);
	sv->clients[sv->nr++] = (struct client){ .fd = fd, .peer = peer };
}

static void accept_client(struct server *sv)
{
	int fd = accept4(sv->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0)
		add_client(sv, fd);
}

/* --- metrics -------------------------------------------------------------- */

/* Who reads it sees the old one or the new one, whole. 0 or -errno. */
static int write_metrics(const struct server *sv)
{
	const struct model *models[CLIENTS_MAX];
	char tmp[PATH_MAX];
	size_t nr = 0, i;
	FILE *f;
	int fd, err;

	for (i = 0; i < sv->nr; i++)
		if (sv->clients[i].session)
			models[nr++] = session_model(sv->clients[i].session);
	if (snprintf(tmp, sizeof(tmp), "%s.new", sv->metrics) >= PATH_MAX)
		return -ENAMETOOLONG;
	/* Whoever owns that folder may have laid a link there, for us to write over. */
	unlink(tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		  0644);
	f = fd < 0 ? NULL : fdopen(fd, "w");
	if (!f)
		return -errno;
	err = openmetrics_put(f, models, nr, now_ns());
	if (fclose(f) && !err)
		err = -errno;
	if (!err && rename(tmp, sv->metrics))
		err = -errno;
	if (err)
		unlink(tmp);
	return err;
}

static void tick_metrics(struct server *sv)
{
	int err;

	if (!sv->metrics || now_ms() < sv->metrics_due)
		return;
	sv->metrics_due = now_ms() + METRICS_SECONDS * 1000;
	err = write_metrics(sv);
	if (err && err != sv->metrics_err)
		fprintf(stderr, "vmaheapd: %s: %s\n", sv->metrics,
			strerror(-err));
	sv->metrics_err = err;
}

/* --- the loop ------------------------------------------------------------ */

static int next_due(const struct server *sv)
{
	uint64_t now = now_ms();
	uint64_t due = sv->metrics ? sv->metrics_due : UINT64_MAX;
	size_t i;

	for (i = 0; i < sv->nr; i++)
		if (sv->clients[i].session && sv->clients[i].due < due)
			due = sv->clients[i].due;
	return due == UINT64_MAX ? -1 : due <= now ? 0 : (int)(due - now);
}

/*
 * Waits for a client, a signal or a shim that knocks. The module's socket and
 * the rings are not waited for: a round takes them on its timer, so that a busy
 * target does not wake us for every few events (design 4: the wake-ups are what
 * costs).
 */
static void wait_and_serve(struct server *sv)
{
	struct pollfd fds[2 + CLIENTS_MAX * (1 + SESSION_FDS)];
	struct pollfd sfds[SESSION_FDS];
	size_t n = 0, i, clients = sv->nr;
	int j, k;

	fds[n++] = (struct pollfd){ .fd = sv->listen_fd, .events = POLLIN };
	fds[n++] = (struct pollfd){ .fd = sv->signal_fd, .events = POLLIN };
	for (i = 0; i < clients; i++)
		fds[n++] = (struct pollfd){ .fd = sv->clients[i].fd,
					    .events = POLLIN };
	for (i = 0; i < clients; i++) {
		if (!sv->clients[i].session)
			continue;
		k = session_fds(sv->clients[i].session, sfds);
		for (j = 1; j < k; j++)
			fds[n++] = sfds[j];
	}
	if (poll(fds, n, next_due(sv)) < 0)
		return;
	if (fds[1].revents)
		sv->stop = true;
	for (i = 2 + clients; i < n; i++)
		if (fds[i].revents)
			for (j = 0; j < (int)clients; j++)
				sv->clients[j].due = 0;
	for (i = clients; i-- > 0;)
		if (fds[2 + i].revents && !read_client(sv, &sv->clients[i]))
			drop_client(sv, i);
	if (fds[0].revents)
		accept_client(sv);
}

static int catch_signals(bool private)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	/* A private one hears the terminal's ^C too, but it is meant for others. */
	if (private)
		signal(SIGINT, SIG_IGN);
	else
		sigaddset(&set, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a write that fails says so */
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static void raise_limit(int resource, bool beyond)
{
	struct rlimit r;

	if (getrlimit(resource, &r))
		return;
	r.rlim_cur = r.rlim_max;
	setrlimit(resource, &r);
	r = (struct rlimit){ RLIM_INFINITY, RLIM_INFINITY };
	if (beyond)
		setrlimit(resource, &r); /* a user may not */
}

/*
 * A private one has inherited limits that are meant for the target: rings are files
 * (RLIMIT_FSIZE), and the model reserves memory. A daemon that lags makes targets wait.
 */
static void raise_limits(bool private)
{
	static const int resources[] = { RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_AS,
					 RLIMIT_DATA, RLIMIT_CPU };
	size_t i;

	for (i = 0; i < sizeof(resources) / sizeof(resources[0]); i++)
		raise_limit(resources[i], private);
	/* BPF maps count as locked memory before 5.11; libbpf may not raise it later */
	raise_limit(RLIMIT_MEMLOCK, true);
	setpriority(PRIO_PROCESS, 0, -10);
}

/*
 * Who is to tell why the memory ran out must not be the first to go, unless it is
 * itself what takes half of it (proc(5)).
 */
static void outlive(void)
{
	FILE *f = fopen("/proc/self/oom_score_adj", "we");

	if (!f)
		return;
	fputs("-500", f);
	fclose(f); /* a user may not */
}

int server_run(const char *path, gid_t group, const char *metrics, int owner,
	       int ready)
{
	static struct server sv;
	size_t i;
	int err;

	sv = (struct server){ .path = path,
			      .metrics = metrics,
			      .private = owner >= 0 };
	sv.listen_fd = wire_listen(path, group);
	if (sv.listen_fd < 0)
		return sv.listen_fd;
	raise_limits(sv.private);
	outlive();
	err = privilege_daemon();
	if (err) {
		unlink(path);
		close(sv.listen_fd);
		return err;
	}
	sv.signal_fd = catch_signals(sv.private);
	if (sv.private)
		add_client(&sv, owner);
	sv.symbols = symbols_new(NULL);
	if (ready >= 0) {
		if (write(ready, "", 1) < 0)
			sv.stop = true;
		close(ready);
	}
	if (!sv.private)
		notify_manager("READY=1");
	while (!sv.stop && !(sv.private && !sv.nr)) {
		wait_and_serve(&sv);
		for (i = 0; i < sv.nr; i++)
			tick(&sv, &sv.clients[i]);
		tick_metrics(&sv);
	}
	if (!sv.private)
		notify_manager("STOPPING=1");
	while (sv.nr)
		drop_client(&sv, sv.nr - 1);
	unlink(path);
	if (metrics) /* they would be taken for those of now */
		unlink(metrics);
	close(sv.listen_fd);
	close(sv.signal_fd);
	symbols_free(sv.symbols);
	return 0;
}
