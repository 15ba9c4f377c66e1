// What all pictures share: numbers, names, the choice of a process; and the strip.
// Strings of the target become text nodes only.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
let shown = null; // the process

function el(tag, attrs, ...children) {
	const e = document.createElement(tag);
	for (const [key, value] of Object.entries(attrs || {}))
		e.setAttribute(key, value);
	e.append(...children);
	return e;
}

function fill(parent, ...children) {
	parent.replaceChildren(...children.filter(c => c !== null));
}

// Large numbers come as strings.
function number(n) {
	return Number(n);
}

function count(n, what) {
	return `${exact(n)} ${what}${number(n) === 1 ? "" : "s"}`;
}

function exact(n) {
	return BigInt(n).toLocaleString("en").replaceAll(",", "\u202f");
}

function human(n) {
	n = number(n);
	const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
	let i = 0;
	for (; n >= 1000 && i < units.length - 1; i++)
		n /= 1024;
	return (i && n < 9.95 ? n.toFixed(1) : n.toFixed(0)) + "\u00a0" + units[i];
}

function bytes(n) {
	return n === null ? "?" : number(n) < 1000 ? `${exact(n)} B` : `${human(n)} (${exact(n)} B)`;
}

function seconds(ns) {
	return (number(ns) / 1e9).toFixed(6) + " s";
}

function hex(n) {
	return "0x" + n.toString(16);
}

function css(name) {
	return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function rows(...pairs) {
	const t = el("table");
	for (const [name, value] of pairs)
		if (value !== null && value !== undefined && value !== "")
			t.append(el("tr", null, el("th", null, name), el("td", { class: "who" }, value)));
	return t;
}

function swatch(term) {
	return el("span", { class: "swatch", style: `background: var(--${term})` });
}

// --- what is resident

const TERMS = [
	["live", "live, under chunks in use"], ["held", "held: the allocator's, not live"], ["stack", "stacks"],
	["file", "private mappings of files"], ["shared", "shared"], ["other", "other anonymous, bss"],
	["kernel", "vdso, vvar"], ["vmaheap", "vmaheap's own"], ["unknown", "unknown"],
];

function showTerms(p) {
	const t = p.totals, table = el("table"), bar = el("div", { class: "bar" });
	if (t.resident === null) {
		fill($("terms"), el("p", null, "Not known: it was never sampled."));
		return;
	}
	const list = t.live === null ? [["held", "allocator: live or not is not known", t.allocator]] :
		TERMS.slice(0, 2).map(([k, text]) => [k, text, t[k]]);
	for (const [k, text] of TERMS.slice(2))
		list.push([k, text, t[k]]);
	for (const [k, text, n] of list) {
		if (!number(n) && k !== "unknown")
			continue;
		bar.append(el("span", { style: `flex: ${number(n)} 0 0; background: var(--${k})`, title: text }));
		table.append(el("tr", { "data-total": k, "data-exact": n },
			el("td", null, swatch(k), text), el("td", { class: "n", title: exact(n) + " B" }, human(n))));
	}
	table.append(el("tr", { class: "sum", "data-total": "resident", "data-exact": t.resident },
		el("td", null, "resident in all"), el("td", { class: "n", title: exact(t.resident) + " B" }, human(t.resident))));
	const note = (p.sampled_at === null ? "" : `Sampled at ${seconds(p.sampled_at)}. `) +
		(number(t.unsampled) ? `Without ${t.unsampled} VMAs of ${human(t.unsampled_size)} that changed since.` : "");
	fill($("terms"), bar, table, el("p", { class: "note" }, note));
}

// --- parts of the strip

function causeText(c) {
	if (!c)
		return null;
	const names = { attach: "there before the watch", fault: "stack growth", exec: "exec", fork: "fork",
		late: "not known (told late)", sampled: "not known (seen in a sample)", other: "another process, or the kernel" };
	if (c.kind !== "syscall")
		return names[c.kind] || c.kind;
	const arity = { brk: 1, munmap: 2, mprotect: 3, madvise: 3, mremap: 5 }[c.syscall.name] ?? 6;
	let text = `${c.syscall.name}(${c.syscall.args.slice(0, arity).join(", ")})`;
	if (c.call)
		text += ` in ${c.call.op}(${c.call.size ?? c.call.addr}) from ${c.call.caller ? c.call.caller.symbol : "?"}`;
	return `${text}, thread ${c.tid}, at ${seconds(BigInt(c.ts) - BigInt(data.start))}`;
}

function partDetail(part) {
	const range = `${part.start.slice(2)}-${part.end.slice(2)}`;
	if (part.kind === "free" && !part.perms)
		return [el("p", { class: "head" }, "free address space"), rows(["range", range],
			["size", bytes(BigInt(part.end) - BigInt(part.start))])];
	if (!part.size)
		return [el("p", { class: "head" }, "the kernel's half"), rows(["range", range])];
	const head = el("p", { class: "head" }, part.vmas ? `${part.vmas} VMAs, folded` : `${part.kind} ${part.name}`);
	return [head, rows(["range", range], ["allowed", part.perms], ["size", bytes(part.size)],
		["resident", part.resident === null ? "not known" : bytes(part.resident)],
		["untouched", part.untouched ? bytes(part.untouched) : null],
		["live", part.live === null || part.live === undefined ? null : `${bytes(part.live)}, ${part.chunks ?? "?"} chunks`],
		["made by", causeText(part.made)], ["in", part.parts > 1 ? `${part.parts} parts; this brought most` : null],
		["changed by", causeText(part.changed)])];
}

function strip() {
	return document.querySelector(".strip-of:not([hidden])");
}

function choosePart(i) {
	for (const g of strip().querySelectorAll(".chosen"))
		g.classList.remove("chosen");
	const g = strip().querySelector(`[data-part="${i}"]`);
	if (g)
		g.classList.add("chosen");
	shown.part = i;
	fill($("part"), ...partDetail(shown.parts[i]));
}

function pointPart(event) {
	const g = event.target.closest("[data-part]");
	if (g)
		choosePart(Number(g.dataset.part));
}

function keyPart(event) {
	const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
	const last = shown.parts.length - 1;
	let i = event.key === "Home" ? last : event.key === "End" ? 0 : step ? (shown.part ?? 0) + step : null;
	if (i === null)
		return;
	event.preventDefault();
	choosePart(Math.max(0, Math.min(last, i)));
}

// --- the process

function facts(p) {
	const t = p.totals, calls = p.report.calls;
	const list = [`${human(t.size)} of address space in ${t.vmas} VMAs`];
	if (t.resident !== null)
		list.push(`${human(t.resident)} resident`);
	if (t.live_size !== null)
		list.push(`${human(t.live_size)} live in ${count(t.chunks, "chunk")}${p.from_start ? "" : " that are known"}`);
	if (calls)
		list.push(count(calls.calls, "allocator call") + (calls.to_kernel === null ? "" : `, ${exact(calls.to_kernel)} went to the kernel`));
	list.push(p.vmas_sampled ? "VMAs by /proc/PID/maps, now and then: no module" : "VMAs by the kernel module");
	const end = p.died === null ? BigInt(data.now) - BigInt(data.start) : p.died;
	list.push(p.died === null ? `as it was at ${seconds(end)}` : `as it was when it ended, at ${seconds(end)}`);
	return list.join(" · ");
}

function show(i) {
	shown = data.processes[i];
	for (const div of document.querySelectorAll(".strip-of"))
		div.hidden = Number(div.dataset.process) !== i;
	$("title").textContent = `${shown.comm}, process ${shown.pid}`;
	document.title = `${shown.comm} - vmaheap`;
	$("facts").textContent = facts(shown);
	showTerms(shown);
	choosePart(shown.part ?? Math.max(0, shown.parts.findIndex(p => p.kind === "heap")));
	showHeap(shown);
	showTime(shown);
}

function start() {
	for (const div of document.querySelectorAll(".strip-of"))
		$("strips").append(div);
	data.processes.forEach((p, i) => $("process").append(el("option", { value: i }, `${p.pid} ${p.comm}`)));
	if (data.left_out)
		$("choice").append(` and ${data.left_out} more that are not in this file (-p PID)`);
	$("choice").hidden = data.processes.length < 2;
	$("process").addEventListener("change", () => show(Number($("process").value)));
	$("strips").addEventListener("mouseover", pointPart);
	$("strips").addEventListener("click", pointPart);
	$("strips").addEventListener("keydown", keyPart);
	startHeap();
	startTime();
	show(0);
	matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(data.processes.indexOf(shown)));
	let width = innerWidth;
	addEventListener("resize", () => {
		if (innerWidth !== width)
			show(data.processes.indexOf(shown));
		width = innerWidth;
	});
}
