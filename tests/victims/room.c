// SPDX-License-Identifier: GPL-2.0
/*
 * The address space to its borders, in 64 and in 32 bits, without a C library. It
 * grows its break, maps 16 pages, protects one of them, and says where: "brk START
 * END", "map START END". For each line of standard input, a hexadecimal address, it
 * moves the break there and back: "grew ADDRESS 1", or 0 where it cannot.
 */
typedef unsigned long word;

#ifdef __x86_64__
enum { READ = 0, WRITE = 1, MMAP = 9, MPROTECT = 10, BRK = 12, EXIT = 60 };

static word call(word nr, word a, word b, word c)
{
	register word d __asm__("r10") = 0x22; /* of mmap: private, anonymous */
	register word e __asm__("r8") = -1ul;
	register word f __asm__("r9") = 0;
	word ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(d), "r"(e),
			   "r"(f)
			 : "rcx", "r11", "memory");
	return ret;
}
#else
enum { READ = 3, WRITE = 4, MMAP = 192, MPROTECT = 125, BRK = 45, EXIT = 1 };

/* The sixth argument is in ebp, which no constraint names. */
static word call(word nr, word a, word b, word c)
{
	word ret;

	__asm__ volatile("push %%ebp\n\txor %%ebp, %%ebp\n\t"
			 "int $0x80\n\tpop %%ebp"
			 : "=a"(ret)
			 : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(0x22), "D"(-1)
			 : "memory");
	return ret;
}
#endif

static char *hex(char *p, word n)
{
	int shift;

	for (shift = 8 * sizeof(word) - 4; shift >= 0; shift -= 4)
		*p++ = "0123456789abcdef"[n >> shift & 15];
	*p++ = ' ';
	return p;
}

static void tell(const char *what, word a, word b)
{
	char line[64], *p = line;

	while (*what)
		*p++ = *what++;
	p = hex(p, a);
	p = hex(p, b);
	p[-1] = '\n';
	call(WRITE, 1, (word)line, (word)(p - line));
}

static void go_to(word start, word to)
{
	word got = call(BRK, to, 0, 0);

	tell("grew ", to, got == to);
	call(BRK, start, 0, 0);
}

void _start(void);

void _start(void)
{
	word start = call(BRK, 0, 0, 0), at, to = 0;
	char c;

	start = call(BRK, start + 0x21000, 0, 0);
	tell("brk ", start - 0x21000, start);
	at = call(MMAP, 0, 0x10000, 3);
	tell("map ", at, at + 0x10000);
	call(MPROTECT, at + 0x4000, 0x1000, 1); /* one VMA becomes three */
	while (call(READ, 0, (word)&c, 1) == 1) {
		if (c == '\n') {
			go_to(start, to);
			to = 0;
		} else {
			to = to * 16 +
			     (word)(c <= '9' ? c - '0' : c - 'a' + 10);
		}
	}
	call(EXIT, 0, 0, 0);
}
