// Time: sizes stacked by uPlot, and below them, on the same axis, what the kernel did.
const time = { mode: "size", plot: null, held: null, event: null, hidden: new Set(["vmaheap"]) };
const LANES = ["brk", "mmap", "munmap", "mprotect", "mremap", "other"];
const LANE = 15; // px
const NAMES = { live: "live", held: "held: the allocator's, not live", stack: "stacks", file: "files, private", shared: "shared",
	kernel: "vdso, vvar", vmaheap: "vmaheap's own", other: "other anonymous, bss", unknown: "unknown", resident: "resident of these, when sampled" };

// { name, values } from the foot of the stack to its top, at the times t (ns).
function layers(p) {
	const h = p.time, r = h.resident;
	if (time.mode === "resident") {
		const order = ["live", "held", "other", "stack", "unknown", "file", "shared", "kernel", "vmaheap"];
		const known = p.totals.live_size === null ? order.slice(1) : order;
		return { t: (r.t || []).map(number), all: known.filter(k => (r[k] || []).some(number)).map(k => ({ name: k, values: r[k].map(number) })) };
	}
	const list = [];
	const held = h.size.held ? h.size.held.map(number) : [];
	if (h.live)
		list.push({ name: "live", values: h.live.map(number) });
	list.push({ name: "held", values: h.live ? held.map((n, i) => Math.max(0, n - number(h.live[i]))) : held });
	for (const k of ["other", "stack", "unknown", "file", "shared", "kernel", "vmaheap"])
		if (h.size[k])
			list.push({ name: k, values: h.size[k].map(number) });
	return { t: h.t.map(number), all: list.filter(l => l.values.some(Boolean)) };
}

// States hold on until the next one; the time of a slot is its end.
function stack(p) {
	const { t, all } = layers(p), end = number(p.died === null ? BigInt(data.now) - BigInt(data.start) : p.died);
	if (t.length && t[t.length - 1] < end) {
		t.push(end);
		all.forEach(l => l.values.push(l.values[l.values.length - 1]));
	}
	const x = t.map(n => n / 1e9), sums = t.map(() => 0), columns = [];
	const list = all.filter(l => !time.hidden.has(l.name));
	for (const l of list) {
		l.values.forEach((n, i) => sums[i] += n);
		columns.push([...sums]);
	}
	return { x, all, list, columns };
}

// The resident bytes at their own times, on an axis that has both.
function withResident(p, s) {
	const r = p.time.resident;
	if (time.mode !== "size" || !r.t || !r.t.length)
		return { ...s, resident: null };
	const sum = r.t.map((_, i) => TERMS.reduce((n, [k]) => time.hidden.has(k) ? n : n + number(r[k][i]), 0));
	const x = [...new Set([...s.x, ...r.t.map(n => number(n) / 1e9)])].sort((a, b) => a - b);
	const columns = s.columns.map(() => []), resident = [], index = [];
	let i = -1, j = 0;
	for (const at of x) {
		while (i + 1 < s.x.length && s.x[i + 1] <= at)
			i++;
		let value = null;
		while (j < r.t.length && number(r.t[j]) / 1e9 <= at)
			value = sum[j++];
		columns.forEach((c, k) => c.push(i < 0 ? null : s.columns[k][i]));
		resident.push(value);
		index.push(i);
	}
	return { ...s, x, columns, resident, index };
}

function axis(text, extra) {
	return { stroke: css("--soft"), grid: { stroke: css("--line"), width: .5 }, ticks: { stroke: css("--line") }, label: text,
		labelSize: 18, font: "12px system-ui, 'DejaVu Sans', sans-serif", labelFont: "12px system-ui, 'DejaVu Sans', sans-serif", ...extra };
}

function plotOptions(s, width) {
	const steps = uPlot.paths.stepped({ align: 1 });
	const series = s.list.map(l => ({ label: l.name, paths: steps, width: .5, stroke: css("--paper"), fill: css("--" + l.name), points: { show: false } }));
	if (s.resident)
		series.push({ label: "resident", paths: () => null, stroke: css("--ink"), // in between it is not known
			points: { show: true, size: 7, width: 2, fill: css("--paper"), stroke: css("--ink") } });
	// uPlot draws the first series first, so the highest goes first.
	const n = s.list.length;
	const order = [...Array(n).keys()].reverse();
	return { order, opts: { width, height: 330, padding: [10, 12, 0, 0], legend: { show: false },
		cursor: { drag: { x: true, y: false }, points: { show: false }, y: false },
		scales: { x: { time: false }, y: { range: (u, lo, hi) => [0, hi * 1.06 || 1] } },
		axes: [axis("seconds", { size: 44 }), axis(null, { size: 76, values: (u, v) => v.map(n => human(n)),
			incrs: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512].flatMap(n => [n, n * 1024, n * 1048576, n * 2 ** 30, n * 2 ** 40]).sort((a, b) => a - b) })],
		series: [{}, ...order.map(i => series[i]), ...series.slice(n)],
		bands: order.slice(0, -1).map((_, i) => ({ series: [i + 1, i + 2] })),
		hooks: { setCursor: [u => showAt(u.cursor.idx, u.cursor.left)], setScale: [() => drawLane()], draw: [u => drawPeak(u)] } } };
}

function drawPlot() {
	const s = withResident(shown, stack(shown)), width = Math.max(300, Math.min(980, $("plot").clientWidth || 900));
	if (time.plot)
		time.plot.destroy();
	time.plot = null;
	time.stack = s;
	if (!s.x.length) {
		fill($("plot"), el("p", null, "It was never sampled."));
		drawLane();
		return;
	}
	$("plot").replaceChildren();
	const { order, opts } = plotOptions(s, width);
	const columns = [s.x, ...order.map(i => s.columns[i])];
	if (s.resident)
		columns.push(s.resident);
	time.plot = new uPlot(opts, columns, $("plot"));
	const end = number(shown.died === null ? BigInt(data.now) - BigInt(data.start) : shown.died) / 1e9;
	time.all = { min: Math.min(s.x[0], shown.time.events?.length ? number(shown.time.events[0].t) / 1e9 : Infinity),
		max: Math.max(s.x[s.x.length - 1], end) };
	if (time.all.max <= time.all.min)
		time.all.max = time.all.min + 1e-3;
	time.plot.setScale("x", time.all);
	showAt(s.x.length - 1);
}

// The most that ever was live.
function drawPeak(u) {
	const peak = shown.time.peak;
	if (!peak || time.mode !== "size")
		return;
	const x = u.valToPos(number(peak.at) / 1e9, "x", true), y = u.valToPos(number(peak.bytes), "y", true), d = devicePixelRatio || 1;
	if (x < u.bbox.left || x > u.bbox.left + u.bbox.width || y < u.bbox.top)
		return;
	u.ctx.fillStyle = css("--ink");
	u.ctx.strokeStyle = css("--paper");
	u.ctx.lineWidth = d;
	u.ctx.beginPath();
	u.ctx.arc(x, y, 4 * d, 0, 7);
	u.ctx.fill();
	u.ctx.stroke();
}

// --- values at the cursor

// Which layers are in the picture: vmaheap's own memory at first is not.
function layerSwitch(name) {
	const box = el("input", { type: "checkbox" });
	box.checked = !time.hidden.has(name);
	box.addEventListener("change", () => {
		time.hidden[box.checked ? "delete" : "add"](name);
		drawPlot();
		showEvent(time.event);
	});
	return el("label", null, box, swatch(name), NAMES[name]);
}

function showAt(i) {
	const s = time.stack, table = el("table");
	if (i === null || i === undefined || !s.x.length)
		i = s.x.length - 1;
	if (i < 0)
		return;
	time.at = i;
	$("at").textContent = `At ${s.x[i].toFixed(6)} s`;
	const cells = (name, value) => el("td", { class: "n", title: exact(value) + " B" }, human(value));
	for (let k = s.all.length - 1; k >= 0; k--) {
		const at = s.index ? s.index[i] : i, name = s.all[k].name, value = at < 0 ? 0 : s.all[k].values[at];
		table.append(el("tr", { "data-time": name, "data-exact": value }, el("td", null, layerSwitch(name)), cells(name, value)));
	}
	if (s.resident && s.resident[i] !== null)
		table.append(el("tr", null, el("td", null, "⊙ ", NAMES.resident), cells("resident", s.resident[i])));
	const peak = shown.time.peak, note = (peak && time.mode === "size" ? `● Most that was live: ${bytes(peak.bytes)}, by ${seconds(peak.at)}. ` : "") +
		(s.resident ? `⊙ ${NAMES.resident}.` : "");
	fill($("values"), table, note ? el("p", { class: "note" }, note) : null);
	if (time.held === null && time.plot && arguments.length > 1)
		showEvent(eventNear(s.x[i]));
}

// --- events

function eventNear(x) {
	const events = shown.time.events || [];
	let best = null;
	for (let i = 0; i < events.length; i++) {
		const d = Math.abs(number(events[i].t) / 1e9 - x);
		if (best === null || d < best.d)
			best = { i, d };
	}
	return best ? best.i : null;
}

function showEvent(i) {
	const events = shown.time.events;
	time.event = i;
	drawLane();
	if (!events) {
		fill($("event"), el("p", null, "Not known: there was no module."));
		return;
	}
	if (i === null) {
		fill($("event"), el("p", null, "Nothing."));
		return;
	}
	const e = events[i], n = Object.entries(e.n).map(([k, v]) => `${exact(v)} ${k}`).join(", ");
	const list = e.top.map(c => el("p", null, el("span", { class: "mono" }, c.call || c.what), c.call ? `: ${c.what}` : "",
		`, thread ${c.tid}, at ${seconds(c.t)}` + (number(c.mapped) ? `, mapped ${human(c.mapped)}` : "") +
		(number(c.unmapped) ? `, unmapped ${human(c.unmapped)}` : "") + (number(c.changed) ? `, re-protected ${human(c.changed)}` : "")));
	const total = Object.values(e.n).reduce((a, b) => a + number(b), 0);
	fill($("event"), el("p", { class: "head" }, `From ${seconds(e.t)}, within ${(number(shown.time.slot) / 1e6).toFixed(2)} ms: ${n}`),
		el("p", null, `mapped ${human(e.mapped)}, unmapped ${human(e.unmapped)}, re-protected ${human(e.changed)}`),
		total > e.top.length ? el("p", null, `The largest ${e.top.length}:`) : null, ...list);
}

function drawLane() {
	const u = time.plot;
	$("lane").hidden = $("k-lane").hidden = !u || !shown.time.events;
	if ($("lane").hidden)
		return;
	const d = devicePixelRatio || 1, left = u.bbox.left / d, width = u.bbox.width / d;
	const lanes = LANES.filter(k => (shown.time.events || []).some(e => e.n[k]));
	const c = sharp($("lane"), left + width + 12, Math.max(1, lanes.length * LANE + 4));
	const slot = Math.max(2, number(shown.time.slot) / 1e9 / (u.scales.x.max - u.scales.x.min) * width);
	c.font = "11px system-ui, 'DejaVu Sans', sans-serif";
	c.textAlign = "right";
	lanes.forEach((k, row) => {
		c.fillStyle = css("--soft");
		c.fillText(k, left - 6, row * LANE + 11);
		c.fillStyle = css("--panel");
		c.fillRect(left, row * LANE, width, LANE - 2);
	});
	c.save();
	c.beginPath();
	c.rect(left - 1, 0, width + 2, lanes.length * LANE);
	c.clip();
	(shown.time.events || []).forEach((e, i) => {
		const x = left + u.valToPos(number(e.t) / 1e9, "x");
		lanes.forEach((k, row) => {
			if (!e.n[k])
				return;
			const h = (LANE - 2) * Math.min(1, .45 + Math.log10(number(e.n[k])) / 4);
			c.fillStyle = css(i === time.event ? "--focus" : "--ink");
			c.fillRect(x, row * LANE + LANE - 2 - h, i === time.event ? slot + 1 : slot, h);
		});
	});
	c.restore();
}

function pointLane(event) {
	const u = time.plot;
	if (!u)
		return null;
	const x = event.clientX - $("lane").getBoundingClientRect().left - u.bbox.left / (devicePixelRatio || 1);
	return eventNear(u.posToVal(x, "x"));
}

function hold(i) {
	time.held = time.held === i ? null : i;
	showEvent(i);
}

function zoomTime(k) {
	const u = time.plot, s = u.scales.x;
	const e = time.event === null ? null : number(shown.time.events[time.event].t) / 1e9;
	const at = e ?? time.stack.x[time.at];
	const mid = at > s.min && at < s.max ? at : (s.min + s.max) / 2, half = (s.max - s.min) * k / 2;
	const lo = Math.max(time.all.min, Math.min(time.all.max - 2 * half, mid - half));
	u.setScale("x", half * 2 >= time.all.max - time.all.min ? time.all : { min: lo, max: lo + 2 * half });
}

function keyZoom(event) {
	if (event.key === "+" || event.key === "-")
		zoomTime(event.key === "+" ? .5 : 2);
	else if (event.key === "0")
		time.plot.setScale("x", time.all);
	else
		return;
	event.preventDefault();
}

function keyLane(event) {
	const n = (shown.time.events || []).length, step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
	if (!step || !n)
		return time.plot && keyZoom(event);
	time.held = Math.max(0, Math.min(n - 1, (time.event ?? -1) + step));
	showEvent(time.held);
	event.preventDefault();
}

// The next moment; its line is where the mouse would have put it.
function keyPlot(event) {
	const u = time.plot, step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
	if (!u || !step)
		return u && keyZoom(event);
	const i = Math.max(0, Math.min(time.stack.x.length - 1, time.at + step));
	u.setCursor({ left: u.valToPos(time.stack.x[i], "x"), top: 0 }, false);
	showAt(i, true);
	event.preventDefault();
}

function showTime(p) {
	$("time").hidden = !p.time;
	$("time-none").hidden = Boolean(p.time);
	if (!p.time)
		return;
	time.held = null;
	drawPlot();
	showEvent(p.time.events && p.time.events.length ? eventNear(Infinity) ?? 0 : null);
}

function startTime() {
	for (const radio of document.querySelectorAll("[name=mode]"))
		radio.addEventListener("change", () => {
			time.mode = radio.value;
			showTime(shown);
		});
	$("lane").addEventListener("mousemove", e => time.held === null && showEvent(pointLane(e)));
	$("lane").addEventListener("click", e => hold(pointLane(e)));
	$("lane").addEventListener("keydown", keyLane);
	$("plot").addEventListener("keydown", keyPlot);
	$("plot").addEventListener("click", e => time.event !== null && e.detail === 1 && hold(time.event));
	$("plot").addEventListener("dblclick", () => time.plot && time.plot.setScale("x", time.all));
}
