// SPDX-License-Identifier: GPL-2.0
/*
 * build/inject.so is linked in as it is: our own file, so it is taken at its
 * word. It is laid out as a loader would do it, in three kinds of pages: text,
 * constants, data.
 */
#include "intake/inject_image.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probe/inject.h"

#define PAGE 4096ull

__asm__(".pushsection .rodata\n"
	".balign 4096\n"
	"inject_elf:\n"
	".incbin \"build/inject.so\"\n"
	".byte 0\n"
	".popsection\n");
extern const unsigned char inject_elf[] __attribute__((visibility("hidden")));

static const Elf64_Ehdr *header(void)
{
	return (const Elf64_Ehdr *)inject_elf;
}

static const Elf64_Phdr *segments(void)
{
	return (const Elf64_Phdr *)(inject_elf + header()->e_phoff);
}

static const Elf64_Shdr *section(size_t i)
{
	return (const Elf64_Shdr *)(inject_elf + header()->e_shoff) + i;
}

static size_t page_up(size_t bytes)
{
	return (bytes + PAGE - 1) & ~(PAGE - 1);
}

static void note_segment(struct image *im, const Elf64_Phdr *ph)
{
	size_t end = ph->p_vaddr + ph->p_memsz;

	if (page_up(end) > im->size)
		im->size = page_up(end);
	if (ph->p_flags & PF_X) {
		im->text = ph->p_vaddr;
		im->text_size = page_up(ph->p_memsz);
	}
	if (ph->p_flags & PF_W) {
		im->data = ph->p_vaddr & ~(PAGE - 1);
		im->data_size = page_up(end) - im->data;
	}
}

static int lay_out(struct image *im)
{
	size_t i;

	for (i = 0; i < header()->e_phnum; i++)
		if (segments()[i].p_type == PT_LOAD)
			note_segment(im, &segments()[i]);
	im->bytes = calloc(1, im->size);
	if (!im->bytes)
		return -ENOMEM;
	for (i = 0; i < header()->e_phnum; i++)
		if (segments()[i].p_type == PT_LOAD)
			memcpy(im->bytes + segments()[i].p_vaddr,
			       inject_elf + segments()[i].p_offset,
			       segments()[i].p_filesz);
	return 0;
}

static const Elf64_Sym *symbols(const Elf64_Shdr *sh)
{
	return (const Elf64_Sym *)(inject_elf + sh->sh_offset);
}

static const char *symbol_name(const Elf64_Shdr *sh, const Elf64_Sym *sym)
{
	return (const char *)inject_elf + section(sh->sh_link)->sh_offset +
	       sym->st_name;
}

/* A libc may lack what is weak. */
static int relocate(struct image *im, const Elf64_Shdr *rela,
		    const Elf64_Rela *r,
		    uint64_t (*resolve)(void *ctx, const char *name), void *ctx)
{
	const Elf64_Shdr *symtab = section(rela->sh_link);
	const Elf64_Sym *sym = symbols(symtab) + ELF64_R_SYM(r->r_info);
	uint64_t value = im->at + (uint64_t)r->r_addend;

	if (ELF64_R_TYPE(r->r_info) != R_X86_64_RELATIVE) {
		value = resolve(ctx, symbol_name(symtab, sym));
		if (!value && ELF64_ST_BIND(sym->st_info) != STB_WEAK)
			return -ENOEXEC;
	}
	memcpy(im->bytes + r->r_offset, &value, 8);
	return 0;
}

int image_make(struct image *im, uint64_t at,
	       uint64_t (*resolve)(void *ctx, const char *name), void *ctx)
{
	size_t i, j;
	int err;

	*im = (struct image){ .at = at };
	err = lay_out(im);
	for (i = 0; !err && i < header()->e_shnum; i++) {
		const Elf64_Shdr *sh = section(i);
		const Elf64_Rela *r =
			(const Elf64_Rela *)(inject_elf + sh->sh_offset);

		for (j = 0; !err && sh->sh_type == SHT_RELA &&
			    j < sh->sh_size / sizeof(*r);
		     j++)
			err = relocate(im, sh, r + j, resolve, ctx);
	}
	if (err)
		image_free(im);
	return err;
}

void image_free(struct image *im)
{
	free(im->bytes);
	im->bytes = NULL;
}

size_t image_symbol(const struct image *im, const char *name)
{
	size_t i, j;

	(void)im;
	for (i = 0; i < header()->e_shnum; i++) {
		const Elf64_Shdr *sh = section(i);

		for (j = 0; sh->sh_type == SHT_SYMTAB &&
			    j < sh->sh_size / sizeof(Elf64_Sym);
		     j++)
			if (!strcmp(symbol_name(sh, symbols(sh) + j), name))
				return symbols(sh)[j].st_value;
	}
	return 0;
}

int image_function(const struct image *im, size_t i, struct image_function *f)
{
	static const char *const tables[] = { "shim_functions",
					      "shim_operators", "shim_names" };
	struct inject_function in;
	size_t t, at;

	for (t = 0; t < sizeof(tables) / sizeof(*tables); t++) {
		at = image_symbol(im, tables[t]);
		for (;; at += sizeof(in)) {
			memcpy(&in, im->bytes + at, sizeof(in));
			if (!in.name || !i--)
				break;
		}
		if (in.name)
			break;
	}
	if (!in.name)
		return 0;
	f->name = (const char *)im->bytes + ((uint64_t)in.name - im->at);
	f->hook = (uint64_t)in.hook;
	f->next = (uint64_t)in.next - im->at;
	f->is_own = t > 0;
	return 1;
}
