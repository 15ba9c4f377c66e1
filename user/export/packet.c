// SPDX-License-Identifier: GPL-2.0
/* A trace is a message of which each packet is a piece that can be written alone. */
#include <errno.h>
#include <stdlib.h>

#include "export/intern.h"
#include "export/packet.h"
#include "export/perfetto.pb-c.h"

#define CLOCK_REALTIME_ID 1
#define CLOCK_MONOTONIC_ID 3
#define SEQUENCE 1 /* there is one writer */
#define STATE_CLEARED 1 /* SEQ_INCREMENTAL_STATE_CLEARED: it begins here */

typedef Perfetto__Protos__Trace Trace;
typedef Perfetto__Protos__TracePacket Packet;
typedef Perfetto__Protos__ClockSnapshot Snapshot;
typedef Perfetto__Protos__ClockSnapshot__Clock Clock;
typedef Perfetto__Protos__TrackDescriptor Track;
typedef Perfetto__Protos__ProcessDescriptor Process;
typedef Perfetto__Protos__ThreadDescriptor Thread;
typedef Perfetto__Protos__CounterDescriptor Counter;
typedef Perfetto__Protos__TrackEvent Event;
typedef Perfetto__Protos__DebugAnnotation Annotation;

static void fail(struct packets *p, int err)
{
	if (!p->err)
		p->err = err;
}

static void put(struct packets *p, Packet *packet)
{
	Trace trace = PERFETTO__PROTOS__TRACE__INIT;
	size_t size;
	uint8_t *buf;

	packet->has_trusted_packet_sequence_id = true;
	packet->trusted_packet_sequence_id = SEQUENCE;
	trace.n_packet = 1;
	trace.packet = &packet;
	size = perfetto__protos__trace__get_packed_size(&trace);
	buf = malloc(size);
	if (!buf) {
		fail(p, -ENOMEM);
		return;
	}
	perfetto__protos__trace__pack(&trace, buf);
	errno = 0;
	if (fwrite(buf, 1, size, p->f) != size)
		fail(p, errno ? -errno : -EIO);
	free(buf);
}

static char *text_of(struct packets *p, const char *text)
{
	char *s = utf8_of(text);

	if (!s)
		fail(p, -ENOMEM);
	return s;
}

void packet_clocks(struct packets *p, uint64_t ts, int64_t clock_offset)
{
	Packet packet = PERFETTO__PROTOS__TRACE_PACKET__INIT;
	Snapshot s = PERFETTO__PROTOS__CLOCK_SNAPSHOT__INIT;
	Clock mono = PERFETTO__PROTOS__CLOCK_SNAPSHOT__CLOCK__INIT;
	Clock real = PERFETTO__PROTOS__CLOCK_SNAPSHOT__CLOCK__INIT;

	mono.has_clock_id = mono.has_timestamp = true;
	mono.clock_id = CLOCK_MONOTONIC_ID;
	mono.timestamp = ts;
	real.has_clock_id = real.has_timestamp = true;
	real.clock_id = CLOCK_REALTIME_ID;
	real.timestamp = (uint64_t)((int64_t)ts + clock_offset);
	s.n_clocks = 2;
	s.clocks = (Clock *[]){ &mono, &real };
	s.has_primary_trace_clock = true;
	s.primary_trace_clock = CLOCK_MONOTONIC_ID;
	packet.clock_snapshot = &s;
	packet.has_sequence_flags = true;
	packet.sequence_flags = STATE_CLEARED;
	put(p, &packet);
}

/* --- tracks */

static void put_track(struct packets *p, Track *t, uint64_t uuid,
		      uint64_t parent, const char *name)
{
	Packet packet = PERFETTO__PROTOS__TRACE_PACKET__INIT;

	t->has_uuid = true;
	t->uuid = uuid;
	t->has_parent_uuid = parent;
	t->parent_uuid = parent;
	t->name = name ? text_of(p, name) : NULL;
	packet.track_descriptor = t;
	put(p, &packet);
	free(t->name);
}

void packet_process(struct packets *p, uint64_t track, uint32_t pid,
		    const char *name)
{
	Track t = PERFETTO__PROTOS__TRACK_DESCRIPTOR__INIT;
	Process d = PERFETTO__PROTOS__PROCESS_DESCRIPTOR__INIT;

	d.has_pid = true;
	d.pid = (int32_t)pid;
	d.process_name = text_of(p, name);
	t.process = &d;
	put_track(p, &t, track, 0, NULL);
	free(d.process_name);
}

void packet_thread(struct packets *p, uint64_t track, uint64_t process,
		   uint32_t pid, uint32_t tid)
{
	Track t = PERFETTO__PROTOS__TRACK_DESCRIPTOR__INIT;
	Thread d = PERFETTO__PROTOS__THREAD_DESCRIPTOR__INIT;

	d.has_pid = d.has_tid = true;
	d.pid = (int32_t)pid;
	d.tid = (int32_t)tid;
	t.thread = &d;
	put_track(p, &t, track, process, NULL);
}

void packet_track(struct packets *p, uint64_t track, uint64_t parent,
		  const char *name)
{
	Track t = PERFETTO__PROTOS__TRACK_DESCRIPTOR__INIT;

	put_track(p, &t, track, parent, name);
}

void packet_counter(struct packets *p, uint64_t track, uint64_t parent,
		    const char *name)
{
	Track t = PERFETTO__PROTOS__TRACK_DESCRIPTOR__INIT;
	Counter c = PERFETTO__PROTOS__COUNTER_DESCRIPTOR__INIT;

	c.has_unit = true;
	c.unit = PERFETTO__PROTOS__COUNTER_DESCRIPTOR__UNIT__UNIT_SIZE_BYTES;
	t.counter = &c;
	put_track(p, &t, track, parent, name);
}

/* --- events */

static void add_note(struct mark *m, struct note n)
{
	if (m->nr_notes < MARK_NOTES)
		m->notes[m->nr_notes++] = n;
}

void mark_number(struct mark *m, const char *name, uint64_t number)
{
	add_note(m, (struct note){ name, NOTE_NUMBER, number, NULL });
}

void mark_address(struct mark *m, const char *name, uint64_t addr)
{
	add_note(m, (struct note){ name, NOTE_ADDRESS, addr, NULL });
}

void mark_text(struct mark *m, const char *name, const char *text)
{
	add_note(m, (struct note){ name, NOTE_TEXT, 0, text });
}

static void put_event(struct packets *p, Event *e, uint64_t track, uint64_t ts)
{
	Packet packet = PERFETTO__PROTOS__TRACE_PACKET__INIT;

	e->has_type = e->has_track_uuid = true;
	e->track_uuid = track;
	packet.has_timestamp = packet.has_timestamp_clock_id = true;
	packet.timestamp = ts;
	packet.timestamp_clock_id = CLOCK_MONOTONIC_ID;
	packet.track_event = e;
	put(p, &packet);
}

static void annotate(struct packets *p, Annotation *a, const struct note *n)
{
	*a = (Annotation)PERFETTO__PROTOS__DEBUG_ANNOTATION__INIT;
	a->name = (char *)n->name;
	switch (n->kind) {
	case NOTE_NUMBER:
		a->has_uint_value = true;
		a->uint_value = n->number;
		break;
	case NOTE_ADDRESS:
		a->has_pointer_value = true;
		a->pointer_value = n->number;
		break;
	case NOTE_TEXT:
		a->string_value = text_of(p, n->text);
		break;
	}
}

static const Perfetto__Protos__TrackEvent__Type types[] = {
	[MARK_BEGIN] = PERFETTO__PROTOS__TRACK_EVENT__TYPE__TYPE_SLICE_BEGIN,
	[MARK_END] = PERFETTO__PROTOS__TRACK_EVENT__TYPE__TYPE_SLICE_END,
	[MARK_INSTANT] = PERFETTO__PROTOS__TRACK_EVENT__TYPE__TYPE_INSTANT,
};

void packet_mark(struct packets *p, const struct mark *m)
{
	Event e = PERFETTO__PROTOS__TRACK_EVENT__INIT;
	Annotation notes[MARK_NOTES], *refs[MARK_NOTES];

	for (size_t i = 0; i < m->nr_notes; i++) {
		annotate(p, &notes[i], &m->notes[i]);
		refs[i] = &notes[i];
	}
	e.type = types[m->type];
	e.name = m->name ? text_of(p, m->name) : NULL;
	e.n_categories = m->category ? 1 : 0;
	e.categories = (char **)&m->category;
	e.n_flow_ids = m->nr_flows;
	e.flow_ids = (uint64_t *)m->flows;
	e.n_debug_annotations = m->nr_notes;
	e.debug_annotations = refs;
	put_event(p, &e, m->track, m->ts);
	free(e.name);
	for (size_t i = 0; i < m->nr_notes; i++)
		free(notes[i].string_value);
}

void packet_value(struct packets *p, uint64_t track, uint64_t ts,
		  uint64_t value)
{
	Event e = PERFETTO__PROTOS__TRACK_EVENT__INIT;

	e.type = PERFETTO__PROTOS__TRACK_EVENT__TYPE__TYPE_COUNTER;
	e.has_counter_value = true;
	e.counter_value = (int64_t)value;
	put_event(p, &e, track, ts);
}
