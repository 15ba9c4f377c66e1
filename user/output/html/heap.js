// The heap: a map of cells, each a page or more, by how much of it is live; and below it a
// lens, which shows the chunks of the cell that is chosen, 512 bytes a row.
const heap = { cells: [], at: 0, lo: 0n, span: 1 };
const ROW = 512; // bytes of a row of the lens
const LENS_ROWS = { 1: 20, 2: 16, 4: 9, 8: 6, 16: 4 }; // px, by pages

// All cells of all regions in a row: where cell i is.
function layOutHeap(h) {
	heap.regions = h.regions.map(r => ({ ...r, start: BigInt(r.start), end: BigInt(r.end),
		from: r.from === null ? null : BigInt(r.from) }));
	heap.cells = [];
	let row = 0;
	const count = heap.regions.reduce((n, r) => n + r.cells.length, 0);
	heap.columns = count > 16000 ? 256 : count > 2500 ? 128 : 64;
	const width = Math.max(300, Math.min(980, $("map-box").clientWidth || 900)) - 110;
	heap.size = Math.max(3, Math.min(13, Math.floor(width / heap.columns * 2) / 2));
	heap.labels = [];
	for (const r of heap.regions) {
		r.first = heap.cells.length;
		r.row = row;
		for (let i = 0; i < r.cells.length; i++)
			heap.cells.push(r);
		const rows = Math.ceil(r.cells.length / heap.columns);
		row += rows + capRows(); // and a caption above it
	}
	heap.rows = row;
}

// The caption of a region is so many rows of cells high.
function capRows() {
	return Math.ceil(24 / heap.size);
}

function cellPlace(i) {
	const r = heap.cells[i], n = i - r.first, s = heap.size, cap = capRows();
	return { x: 106 + n % heap.columns * s, y: (r.row + cap + Math.floor(n / heap.columns)) * s };
}

function cellAddr(i) {
	const r = heap.cells[i];
	return r.start + BigInt(i - r.first) * BigInt(r.cell);
}

function cellAt(addr) {
	const r = heap.regions.find(q => addr >= q.start && addr < q.end);
	return r ? r.first + Number((addr - r.start) / BigInt(r.cell)) : -1;
}

function mix(a, b, t) {
	const p = c => [1, 3, 5].map(i => parseInt(c.slice(i, i + 2), 16));
	const [x, y] = [p(a), p(b)];
	return `rgb(${x.map((v, i) => Math.round(v + (y[i] - v) * t)).join(",")})`;
}

function cellColours() {
	return Array.from({ length: 21 }, (_, i) => i ? mix(css("--cell1"), css("--cell2"), i / 20) : css("--cell0"));
}

function sharp(canvas, width, height) {
	const d = devicePixelRatio || 1, c = canvas.getContext("2d");
	canvas.width = Math.round(width * d);
	canvas.height = Math.round(height * d);
	canvas.style.width = width + "px";
	canvas.style.height = height + "px";
	c.setTransform(d, 0, 0, d, 0, 0);
	return c;
}

function share(i) {
	const r = heap.cells[i], n = i - r.first;
	const size = Math.min(r.cell, Number(r.end - r.start) - n * r.cell);
	return number(r.cells[n]) / size;
}

function colourOf(colours, part) {
	return colours[part > 0 ? Math.max(1, Math.round(part * 20)) : 0];
}

function pinsOf() {
	return heap.regions.flatMap(r => r.pins.map((p, i) => ({ ...p, region: r, nr: i + 1 })));
}

function drawMap() {
	const width = 108 + heap.columns * heap.size;
	const c = sharp($("map"), width, heap.rows * heap.size + 4), s = heap.size, colours = cellColours();
	const gap = s > 5 ? 1 : 0;
	c.font = "11px ui-monospace, 'DejaVu Sans Mono', monospace";
	for (const r of heap.regions) {
		const y = (r.row + capRows()) * s;
		c.fillStyle = css("--ink");
		c.fillText(`${r.kind} ${r.start.toString(16)}: ${human(r.end - r.start)}, live ${human(r.live)} in ${count(r.chunks, "chunk")}` +
			(r.cell > 4096 ? `, ${human(r.cell)} a cell` : ""), 0, y - 7);
		c.fillStyle = css("--soft");
		const step = Math.max(1, Math.ceil(14 / s));
		for (let row = 0; row * heap.columns < r.cells.length; row += step)
			c.fillText((r.start + BigInt(row * heap.columns * r.cell)).toString(16), 6, y + row * s + Math.max(8, Math.min(s, 11)));
		for (let n = 0; n < r.cells.length; n++) {
			const p = cellPlace(r.first + n), part = share(r.first + n);
			c.fillStyle = colourOf(colours, part);
			c.fillRect(p.x, p.y, s - gap, s - gap);
		}
	}
	for (const pin of pinsOf())
		drawPin(c, pin);
	const at = cellPlace(heap.at);
	c.strokeStyle = css("--focus");
	c.lineWidth = 2;
	c.strokeRect(at.x - 1.5, at.y - 1.5, s + 2, s + 2);
}

function drawPin(c, pin) {
	const p = cellPlace(cellAt(BigInt(pin.addr))), s = heap.size, m = Math.max(5, s * .45);
	c.fillStyle = css("--pin");
	c.strokeStyle = css("--paper");
	c.beginPath();
	c.moveTo(p.x + s / 2 - m, p.y - 4);
	c.lineTo(p.x + s / 2 + m, p.y - 4);
	c.lineTo(p.x + s / 2, p.y + s / 2 + 1);
	c.closePath();
	c.fill();
	c.stroke();
}

// --- the lens

// The chunks of a region, decoded once.
function chunksOf(r) {
	if (!r.list) {
		r.list = [];
		let addr = r.from;
		for (let i = 0; i < r.told.length; i += 4) {
			addr += BigInt(r.told[i]);
			r.list.push({ addr, size: number(r.told[i + 1]), maker: r.told[i + 2], at: r.told[i + 3] });
		}
	}
	return r.list;
}

// The first chunk that ends above addr.
function lower(list, addr) {
	let lo = 0, hi = list.length;
	while (lo < hi) {
		const mid = lo + hi >> 1;
		if (list[mid].addr + BigInt(Math.max(1, list[mid].size)) > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

function lensRange() {
	const r = heap.cells[heap.at], lo = heap.lo;
	let hi = lo + BigInt(4096 * heap.span);
	if (hi > r.end)
		hi = r.end;
	return { r, lo, hi };
}

function inLens() {
	const { r, lo, hi } = lensRange(), list = chunksOf(r), found = [];
	for (let i = lower(list, lo); i < list.length && list[i].addr < hi; i++)
		found.push(list[i]);
	return found;
}

function drawLens() {
	const { r, lo, hi } = lensRange(), rows = Math.ceil(Number(hi - lo) / ROW);
	const wide = Math.max(300, Math.min(980, $("map-box").clientWidth || 900)), width = wide - 108;
	const h = LENS_ROWS[heap.span], c = sharp($("lens"), wide, rows * h + 4);
	heap.lens = { scale: width / ROW, h };
	c.font = "11px ui-monospace, 'DejaVu Sans Mono', monospace";
	for (let row = 0; row < rows; row++) {
		c.fillStyle = css("--cell0");
		c.fillRect(106, row * h, width, h > 12 ? h - 2 : h - 1);
		c.fillStyle = css("--soft");
		if (h > 12 || row * ROW % 4096 === 0)
			c.fillText((lo + BigInt(row * ROW)).toString(16), 6, row * h + (h > 12 ? 13 : 9));
	}
	const unknown = r.from === null || lo < r.from;
	for (const chunk of inLens())
		drawChunk(c, chunk, lo, rows, h);
	$("lens-title").textContent = `Chunks from ${hex(lo)} on, ${human(hi - lo)}` +
		(unknown && number(r.chunks) * 4 > r.told.length ? " (this file has only the uppermost chunks of this region)" : "");
}

// A chunk goes on in the next row.
function drawChunk(c, chunk, lo, rows, h) {
	const from = Number(chunk.addr - lo), to = from + Math.max(chunk.size, 1), scale = heap.lens.scale;
	const pinned = heap.pinned.has(chunk.addr);
	let text = true;
	for (let row = Math.max(0, Math.floor(from / ROW)); row < rows && row * ROW < to; row++) {
		const a = Math.max(from, row * ROW) - row * ROW, b = Math.min(to, (row + 1) * ROW) - row * ROW;
		const x = 106 + a * scale, w = Math.max(1.5, (b - a) * scale - 1);
		c.fillStyle = pinned ? css("--pin") : chunk === heap.chunk ? css("--focus") : css("--live");
		c.fillRect(x, h > 12 ? row * h + 1 : row * h, w, h > 12 ? h - 4 : h - 1);
		const label = exact(chunk.size);
		if (text && h > 12 && w > label.length * 7 + 6) {
			c.fillStyle = css("--paper");
			c.fillText(label, x + 4, row * h + 13);
			text = false;
		}
	}
}

// --- what is pointed at

function madeBy(nr, us) {
	const m = shown.heap.makers[nr];
	return `${m.op} from ${m.caller}, thread ${m.tid}` + (us === undefined ? "" : `, at ${(us / 1e6).toFixed(6)} s`);
}

function cellDetail(i) {
	const r = heap.cells[i], lo = cellAddr(i);
	return [el("p", { class: "head" }, `${r.cell > 4096 ? human(r.cell) : "page"} at ${hex(lo)}`),
		rows(["in", r.kind], ["live", `${bytes(r.cells[i - r.first])}, ${(share(i) * 100).toFixed(0)} %`])];
}

function chunkDetail(chunk) {
	return [el("p", { class: "head" }, `chunk ${hex(chunk.addr)}`),
		rows(["asked for", bytes(chunk.size)], ["by", madeBy(chunk.maker, chunk.at)])];
}

function chooseCell(i) {
	if (i < 0 || i >= heap.cells.length)
		return;
	heap.at = i;
	heap.lo = cellAddr(i);
	heap.chunk = null;
	drawMap();
	drawLens();
	fill($("chunk"), ...cellDetail(i));
}

function pointMap(event, choose) {
	const box = $("map").getBoundingClientRect(), s = heap.size;
	const k = box.width / parseFloat($("map").style.width);
	const x = (event.clientX - box.left) / k, y = (event.clientY - box.top) / k;
	const column = Math.floor((x - 106) / s), cap = capRows();
	if (column < 0 || column >= heap.columns)
		return;
	for (const r of heap.regions) {
		const n = (Math.floor(y / s) - r.row - cap) * heap.columns + column;
		if (n < 0 || n >= r.cells.length)
			continue;
		if (choose)
			chooseCell(r.first + n);
		else
			fill($("chunk"), ...cellDetail(r.first + n));
		return;
	}
}

function pointLens(event) {
	const box = $("lens").getBoundingClientRect(), { lo } = lensRange();
	const row = Math.floor((event.clientY - box.top) / heap.lens.h);
	const byte = Math.floor((event.clientX - box.left - 106) / heap.lens.scale);
	if (byte < 0 || byte >= ROW)
		return;
	const addr = lo + BigInt(row * ROW + byte);
	const chunk = inLens().find(c => addr >= c.addr && addr < c.addr + BigInt(Math.max(1, c.size)));
	if (chunk !== heap.chunk)
		chooseChunk(chunk || null, addr);
}

function chooseChunk(chunk, addr) {
	heap.chunk = chunk;
	drawLens();
	fill($("chunk"), ...(chunk ? chunkDetail(chunk) : [el("p", { class: "head" }, `${hex(addr)}: not live`)]));
}

function nextChunk(step) {
	const list = inLens(), at = list.indexOf(heap.chunk) + step;
	if (list.length)
		chooseChunk(list[(at < 0 ? list.length + at : at) % list.length]);
}

function zoomLens(by) {
	heap.span = Math.max(1, Math.min(16, by > 0 ? heap.span / 2 : heap.span * 2));
	drawLens();
}

function nextPin() {
	const pins = pinsOf();
	if (!pins.length)
		return;
	heap.pin = ((heap.pin ?? -1) + 1) % pins.length;
	choosePin(pins[heap.pin]);
}

function choosePin(pin) {
	chooseCell(cellAt(BigInt(pin.addr)));
	heap.lo = BigInt(pin.addr) & ~4095n; // a cell may be many pages
	drawLens();
	fill($("chunk"), el("p", { class: "head" }, `pin ${pin.nr} of the ${pin.region.kind}: ${pin.addr}`),
		rows(["asked for", bytes(pin.size)], ["by", madeBy(pin.maker)], ["not live above", bytes(pin.above)],
			["not live below", bytes(pin.below)]));
}

function keyMap(event) {
	const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: heap.columns, ArrowUp: -heap.columns,
		PageDown: 8 * heap.columns, PageUp: -8 * heap.columns };
	if (event.key in steps)
		chooseCell(Math.max(0, Math.min(heap.cells.length - 1, heap.at + steps[event.key])));
	else if (event.key === "+" || event.key === "-")
		zoomLens(event.key === "+" ? 1 : -1);
	else if (event.key === "p")
		nextPin();
	else if (event.key === "n" || event.key === "b")
		nextChunk(event.key === "n" ? 1 : -1);
	else
		return;
	event.preventDefault();
}

function showPins() {
	const tops = pinsOf().filter(pin => pin.nr === 1), list = tops.slice(0, 8).map(pin => {
		const b = el("button", { class: "pin", type: "button" }, el("b", null, pin.region.kind), ` ${pin.addr}: ${human(pin.size)} by ${madeBy(pin.maker)}`);
		b.addEventListener("click", () => choosePin(pin));
		return b;
	});
	if (tops.length > list.length)
		list.push(el("p", { class: "note" }, `and ${tops.length - list.length} more: p goes to each.`));
	fill($("pins"), el("h3", null, "Pins ▼"), el("p", { class: "note" }, list.length ?
		"The uppermost live chunk of each: while it lives, what is free below it does not go back from the top. (vmaheap why held -p PID knows malloc's own books.)" :
		"There are none."), ...list);
}

function showKey() {
	const colours = cellColours(), key = el("p", { class: "note" }, "Live share of a page: ");
	for (const part of [0, .05, .25, .5, .75, 1])
		key.append(el("span", { class: "swatch", style: `background: ${colourOf(colours, part)}` }), `${part * 100} %  `);
	const more = shown.heap.more, mapped = shown.heap.mapped;
	if (number(mapped.chunks))
		key.append(el("br"), `Not drawn, for they are mappings of their own: ${count(mapped.chunks, "chunk")}, ${human(mapped.live)}.`);
	if (number(more.regions))
		key.append(el("br"), `Not drawn: ${count(more.regions, "smaller region")}, live ${human(more.live)} in ${count(more.chunks, "chunk")}.`);
	fill($("heap-key"), key);
}

function showHeap(p) {
	const any = p.heap && p.heap.regions.length;
	$("heap").hidden = !any;
	$("heap-none").hidden = Boolean(p.heap);
	if (!any)
		return;
	layOutHeap(p.heap);
	heap.pin = undefined;
	heap.pinned = new Set(pinsOf().map(p => BigInt(p.addr)));
	heap.span = Math.min(16, Math.max(...heap.regions.map(r => r.cell)) / 4096);
	showKey();
	showPins();
	const pins = pinsOf();
	if (pins.length)
		choosePin(pins[0]);
	else
		chooseCell(0);
}

function startHeap() {
	$("map").addEventListener("click", e => pointMap(e, true));
	$("map").addEventListener("mousemove", e => pointMap(e, false));
	$("map").addEventListener("keydown", keyMap);
	$("lens").addEventListener("mousemove", pointLens);
	$("lens").addEventListener("click", pointLens);
	$("lens").addEventListener("wheel", e => {
		e.preventDefault();
		zoomLens(-e.deltaY);
	}, { passive: false });
}
