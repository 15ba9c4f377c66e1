// Runs behind the page's own scripts (tests/page): what a person does, and what must be seen then.
// The results go to an element with the id "tap".
(async () => {
	const lines = [], errors = [];
	addEventListener("error", e => errors.push(e.message));
	const check = (good, name) => lines.push(`${good ? "ok" : "not ok"} ${name}`);
	const soon = () => new Promise(done => setTimeout(done, 60));
	// Integers as strings: they may be larger than what a double holds.
	const parse = id => JSON.parse($(id).textContent.replace(/([:[,]\s*)(-?\d+)(?=\s*[,\]}])/g, '$1"$2"'));
	const text = id => $(id).textContent;
	const key = (id, name) => $(id).dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
	const mouse = (target, type, x, y) => {
		const box = target.getBoundingClientRect();
		target.dispatchEvent(new MouseEvent(type, { bubbles: true, clientX: box.left + x, clientY: box.top + y, movementX: 1 }));
	};

	function sums() {
		const totals = parse("wanted-maps").totals;
		const seen = document.querySelectorAll("[data-total]");
		const wrong = [...seen].filter(e => e.dataset.exact !== totals[e.dataset.total]);
		check(seen.length > 3 && !wrong.length, `${seen.length} sums are those of maps --json`);
		const report = parse("wanted-report").spaces.find(s => Number(s.pid) === shown.pid && s.born === String(shown.report.born));
		const differ = (a, b) => b !== null && typeof b === "object" ?
			Object.keys(b).some(k => differ(a[k], b[k])) : String(a) !== String(b);
		delete report.callers;
		check(!differ(shown.report, report), "report --json is in the page, to the last number");
		check(text("facts").includes(exact(report.calls.calls)), "the number of calls is written out");
		const size = shown.parts.filter(p => p.size).reduce((n, p) => n + BigInt(p.size), 0n);
		check(size === BigInt(totals.size), "the parts of the strip are all of the address space");
	}

	function stripIsReadable() {
		const names = [...strip().querySelectorAll(".name")].map(e => e.getBoundingClientRect()).sort((a, b) => a.top - b.top);
		check(names.length > 3 && names.every((r, i) => !i || r.top >= names[i - 1].bottom - 4), "names do not overlap each other");
		const firsts = [...strip().querySelectorAll(".num:not(.head)")].map(e => e.getBoundingClientRect());
		check(names.every(n => firsts.every(f => f.left >= n.right || Math.abs(f.top - n.top) > 6)), "names do not reach into the numbers");
	}

	function pointAtStrip() {
		const i = shown.parts.findIndex(p => p.kind === "heap"), g = strip().querySelector(`[data-part="${i}"]`);
		g.querySelector("rect").dispatchEvent(new MouseEvent("mouseover", { bubbles: true }));
		check(text("part").includes(shown.parts[i].start.slice(2)) && text("part").includes("made by"), "pointing at the heap tells of it");
		key("strips", "ArrowUp");
		check(shown.part === i + 1 && strip().querySelectorAll(".chosen").length === 1, "the up key chooses the part above");
		key("strips", "End");
		check(shown.part === 0, "End chooses the lowest");
	}

	function useHeap() {
		const region = heap.regions.find(r => r.kind === "heap"), cells = region.cells.map(Number);
		const live = heap.regions.reduce((n, r) => n + r.cells.reduce((m, c) => m + BigInt(c), 0n), 0n) +
			BigInt(shown.heap.mapped.live) + BigInt(shown.heap.more.live);
		check(live === BigInt(parse("wanted-maps").totals.live_size), "cells and what is not drawn are all live bytes");
		const n = cells.findIndex(Boolean), place = cellPlace(region.first + n);
		mouse($("map"), "click", place.x + 2, place.y + 2);
		check(heap.at === region.first + n && text("lens-title").includes(hex(cellAddr(heap.at))), "a click on a page shows its chunks");
		const map = $("map"), seen = map.getContext("2d").getImageData(0, 0, map.width, map.height).data;
		const colour = i => {
			const at = 4 * (Math.round((cellPlace(i).y + 2) * devicePixelRatio) * map.width + Math.round((cellPlace(i).x + 2) * devicePixelRatio));
			return seen.slice(at, at + 3).join();
		};
		const empty = cells.findIndex(c => !c);
		check(empty >= 0 && colour(region.first + n) !== colour(region.first + empty),
			"what is live has another colour than what is not");
		nextPin();
		const pin = pinsOf()[heap.pin];
		check(text("chunk").includes("pin 1") && heap.at === cellAt(BigInt(pin.addr)), "p goes to a pin");
		const { lo } = lensRange(), at = Number(BigInt(pin.addr) - lo), row = Math.floor(at / ROW);
		mouse($("lens"), "mousemove", 106 + (at % ROW + .5) * heap.lens.scale, row * heap.lens.h + 2);
		check(text("chunk").includes(`chunk ${pin.addr}`) && /by\w+ from/.test(text("chunk")), "pointing at a chunk tells who made it");
		key("map", "n");
		check(heap.chunk && text("chunk").includes(hex(heap.chunk.addr)), "n goes to the next chunk");
		const span = heap.span;
		key("map", "-");
		check(heap.span === 2 * span && text("lens-title").includes(`${8 * span}`), "minus shows more pages of chunks");
		key("map", "+");
		key("map", "ArrowLeft");
		check(heap.span === span && heap.at === cellAt(BigInt(pin.addr)) - 1, "arrows go from page to page");
	}

	async function useTime() {
		const end = time.plot.data[0].length - 1, values = document.querySelectorAll("[data-time]");
		const size = [...values].reduce((n, e) => n + Number(e.dataset.exact), 0) + Number(shown.time.reserve[shown.time.reserve.length - 1]);
		check(size === Number(parse("wanted-maps").totals.size), "the last point in time has the sizes of maps --json");
		check(String(shown.time.peak.bytes) === parse("wanted-report").spaces.find(s => s.born === String(shown.report.born)).live.peak, "the peak is that of report --json");
		const all = time.plot.scales.x.max - time.plot.scales.x.min;
		key("lane", "+");
		await soon();
		check(Math.abs((time.plot.scales.x.max - time.plot.scales.x.min) / all - .5) < .01, "plus zooms in to the half");
		key("lane", "0");
		await soon();
		check(time.plot.scales.x.max - time.plot.scales.x.min === all, "0 shows all again");
		const before = time.at, moment = text("at");
		key("plot", "ArrowLeft");
		check(before === end && time.at === end - 1 && text("at") !== moment, "left goes to the moment before");
		key("plot", "ArrowRight");
		key("plot", "ArrowRight");
		check(time.at === end && text("at") === moment, "right to the one after, and no further");
		key("plot", "+");
		await soon();
		check(time.plot.scales.x.max <= time.all.max && (time.plot.scales.x.max - time.plot.scales.x.min) / all < .51, "plus zooms here, too, and not out of what there is");
		key("plot", "0");
		await soon();
		const over = time.plot.over, w = over.clientWidth;
		mouse(over, "mousemove", w * .3, 50);
		await soon();
		check(text("at") !== "" && end > 0, "the plot tells what was at the pointer");
		mouse(over, "mousedown", w * .3, 50);
		mouse(over, "mousemove", w * .6, 50);
		mouse(over, "mouseup", w * .6, 50);
		await soon();
		check((time.plot.scales.x.max - time.plot.scales.x.min) / all < .5, "dragging zooms");
		over.dispatchEvent(new MouseEvent("dblclick", { bubbles: true }));
		await soon();
		check(time.plot.scales.x.max - time.plot.scales.x.min === all, "a double click shows all again");
		document.querySelector("[name=mode][value=resident]").click();
		await soon();
		const resident = [...document.querySelectorAll("[data-time]")].reduce((n, e) => n + Number(e.dataset.exact), 0);
		const last = shown.time.resident, sum = TERMS.reduce((n, [k]) => n + Number(last[k][last.t.length - 1]), 0);
		check(resident === sum, "the other plot shows what was resident");
		document.querySelector("[name=mode][value=size]").click();
		await soon();
	}

	async function useEvents() {
		const events = shown.time.events;
		if (!events) {
			check(text("event").includes("no module"), "without the module it says that events are not known");
			check($("lane").hidden && $("k-lane").hidden, "and has no row of them");
			return;
		}
		const i = events.findIndex(e => e.top.some(c => c.call.startsWith("brk(") && c.what.includes("malloc(")));
		// Close enough that no two are in one pixel.
		time.plot.setScale("x", { min: events[0].t / 1e9, max: events[events.length - 1].t / 1e9 });
		await soon();
		const x = time.plot.bbox.left / devicePixelRatio + time.plot.valToPos(events[i].t / 1e9, "x");
		mouse($("lane"), "mousemove", x, 5);
		check(/brk\(0x.* in malloc\(\d+\) from .*, thread \d+, at /.test(text("event")), "pointing at a brk tells who made it");
		mouse($("lane"), "click", x, 5);
		mouse($("lane"), "mousemove", 0, 5);
		check(time.event === i && time.held === i, "a click holds it");
		key("lane", "ArrowRight");
		check(time.event === Math.min(i + 1, events.length - 1), "the right key goes to the next one");
	}

	function isHarmless() {
		check(!document.querySelector("[onload], [onerror]") && typeof hack === "undefined", "no name has become markup");
		check(performance.getEntriesByType("resource").length === 0, "nothing was asked for");
		check(document.documentElement.scrollWidth <= innerWidth, "it is no wider than the window");
	}

	function otherProcess() {
		const choice = $("process"), other = data.processes[1];
		if (!other)
			return;
		choice.value = "1";
		choice.dispatchEvent(new Event("change"));
		check(text("title") === `${other.comm}, process ${other.pid}` && strip().dataset.process === "1" &&
			document.querySelectorAll(".strip-of:not([hidden])").length === 1, "another process can be chosen");
	}

	try {
		sums();
		stripIsReadable();
		pointAtStrip();
		useHeap();
		if (shown.time) {
			await useTime();
			await useEvents();
		} else {
			check($("time").hidden && !$("time-none").hidden, "without a trace it says that the past is not known");
		}
		isHarmless();
		otherProcess();
	} catch (e) {
		errors.push(e.stack);
	}
	for (const e of errors)
		lines.push(`not ok ${e}`);
	const pre = document.createElement("pre");
	pre.id = "tap";
	pre.textContent = `${lines.join("\n")}\n${errors.length ? "errors" : "done, and no error"}`;
	document.body.append(pre);
})();
