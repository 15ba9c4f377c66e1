-- SPDX-License-Identifier: GPL-2.0
-- What `vmaheap export --format=sqlite` makes. Bytes; times are ns since the first event of the
-- trace (about: start_monotonic, start_realtime); what is not known is NULL.

CREATE TABLE about (key TEXT PRIMARY KEY, value) WITHOUT ROWID;

-- An address space: each exec and each fork begins one.
CREATE TABLE spaces (
	mm INTEGER PRIMARY KEY, pid INTEGER, comm TEXT, parent_mm INTEGER,
	born INTEGER, died INTEGER,
	vmas_sampled INTEGER		-- 1: there was no module, vma_events is empty
);

-- Each chunk that malloc gave, also those that live in the end (died is NULL).
CREATE TABLE chunks (
	mm INTEGER, address INTEGER, size INTEGER,
	function TEXT,			-- malloc, calloc, realloc ...
	born INTEGER, tid INTEGER,
	caller INTEGER,			-- return address: places
	stack INTEGER,			-- frames; NULL: not recorded
	died INTEGER, died_tid INTEGER
);

CREATE TABLE places (mm INTEGER, address INTEGER, symbol TEXT, PRIMARY KEY (mm, address)) WITHOUT ROWID;

-- Return addresses of a stack, depth 0 is the innermost.
CREATE TABLE frames (
	mm INTEGER, stack INTEGER, depth INTEGER, address INTEGER, PRIMARY KEY (mm, stack, depth)
) WITHOUT ROWID;

-- What changed VMAs.
CREATE TABLE vma_events (
	id INTEGER PRIMARY KEY, mm INTEGER, time INTEGER, tid INTEGER,
	what TEXT,			-- the system call, "stack growth", "another process, or the kernel"
	call TEXT,			-- the system call with its arguments
	mapped INTEGER, unmapped INTEGER, protected INTEGER,
	allocator_call INTEGER		-- allocator_calls.id; NULL: in none
);

CREATE TABLE changes (event INTEGER, what TEXT, start INTEGER, end INTEGER);

-- The allocator calls that went to the kernel.
CREATE TABLE allocator_calls (
	id INTEGER PRIMARY KEY, mm INTEGER, tid INTEGER, function TEXT, address INTEGER, size INTEGER,
	caller INTEGER, stack INTEGER, begin INTEGER, end INTEGER
);

-- All calls, counted.
CREATE TABLE functions (
	mm INTEGER, function TEXT, calls INTEGER, failed INTEGER, asked INTEGER, given_back INTEGER
);

-- The VMAs as they were in the end.
CREATE TABLE vmas (
	mm INTEGER, start INTEGER, end INTEGER, permissions TEXT, name TEXT, kind TEXT,
	resident INTEGER, live INTEGER, chunks INTEGER, made_by TEXT
);

-- What was resident, sample by sample.
CREATE TABLE resident (
	mm INTEGER, time INTEGER, start INTEGER, end INTEGER,
	resident INTEGER, swapped INTEGER, live_resident INTEGER, huge INTEGER
);

CREATE VIEW live AS
	SELECT chunks.*, places.symbol FROM chunks LEFT JOIN places
		ON places.mm = chunks.mm AND places.address = chunks.caller
	WHERE died IS NULL;

CREATE VIEW by_caller AS
	SELECT chunks.mm, symbol, function, count(*) AS allocations, sum(size) AS bytes,
		sum(died IS NULL) AS live_chunks, sum(CASE WHEN died IS NULL THEN size ELSE 0 END) AS live_bytes,
		avg(died - born) / 1e9 AS seconds_alive
	FROM chunks LEFT JOIN places ON places.mm = chunks.mm AND places.address = chunks.caller
	GROUP BY chunks.mm, caller, function ORDER BY live_bytes DESC;

CREATE VIEW by_system_call AS
	SELECT mm, what, count(*) AS events, count(allocator_call) AS in_calls,
		sum(mapped) AS mapped, sum(unmapped) AS unmapped, sum(protected) AS protected
	FROM vma_events GROUP BY mm, what ORDER BY events DESC;

CREATE VIEW causes AS
	SELECT e.id, e.mm, e.time / 1e9 AS seconds, e.tid, e.call, e.mapped, e.unmapped, e.protected,
		c.function, c.size, c.address, places.symbol
	FROM vma_events e LEFT JOIN allocator_calls c ON c.id = e.allocator_call
		LEFT JOIN places ON places.mm = e.mm AND places.address = c.caller;

CREATE VIEW stacks AS
	SELECT mm, stack, group_concat(symbol, ' < ') AS stack_text
	FROM (SELECT frames.mm AS mm, stack, symbol FROM frames LEFT JOIN places USING (mm, address)
		ORDER BY frames.mm, stack, depth)
	GROUP BY mm, stack;
