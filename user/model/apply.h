/* SPDX-License-Identifier: GPL-2.0 */
/* The inside of a model, shared by the files that apply events to it. */
#ifndef MODEL_APPLY_H
#define MODEL_APPLY_H

#include "model/join.h"
#include "model/life.h"
#include "model/model.h"
#include "model/stack.h"

struct model {
	struct book **books; /* in order of birth, owned */
	size_t nr_books, cap_books;
	struct hash by_mm; /* mm -> book */
	struct hash by_tgid; /* -> the book that the process uses, or used last */
	struct hash threads; /* mm, tid -> thread, owned */
	size_t threads_limit; /* look for idle ones when there are more */
	struct lives lives;
	const struct model_watch *watch; /* as each book has it */
	struct stacks stacks;
	struct hash files; /* dev, ino -> file_name, owned */
	uint64_t files_told;
	size_t files_limit,
		files_next; /* look for unused ones when there are more */
	struct thread *
		last; /* the thread of the last call: most often the next one's, too */
	struct cause *told; /* keeps outcome.cause alive */
	struct vma_change changes[OUTCOME_CHANGES];
	struct model_totals totals;
	size_t dead_limit; /* bytes */
	size_t dead_bytes, nr_dead; /* of the books whose space has died */
	struct forgotten forgotten;
};

void book_free(struct book *b);
void file_free(struct file_name *f);
/*
 * The book becomes the model's, and its owner's. 0 or -ENOMEM: it is the model's
 * then if model_book() finds it.
 */
int model_adopt(struct model *m, struct book *b);
struct book *model_book(const struct model *m, uint64_t mm);
struct book *model_book_of(const struct model *m, uint32_t tgid);
/* The thread of an event; made when it is new. NULL: no memory. */
struct thread *model_thread(struct model *m, struct book *b,
			    const struct event *ev);
/* Threads of an address space, or (b NULL) of a process, that are no more. */
void model_forget_threads(struct model *m, const struct book *b, uint32_t tgid);

/* The book's space has died: it counts against the limit. */
void forget_later(struct model *m, struct book *b);
/* Keep the limits: of what goes no pointer may be used any more. */
void forget_dead(struct model *m);
void forget_files(struct model *m);

/* The chunk of an unfinished realloc is not going to be asked for. */
void model_forget_old(struct model *m, struct thread *t);

/* Events by kind. As model_apply(), which has cleared *out and set its `ev`. */
int apply_mm(struct model *m, const struct event *ev, struct outcome *out);
int apply_range(struct model *m, const struct event *ev, struct outcome *out);
int apply_call(struct model *m, const struct event *ev, struct outcome *out);
int apply_found(struct model *m, const struct event *ev, struct outcome *out);
int apply_calls_lost(struct model *m, const struct event *ev,
		     struct outcome *out);

#endif
