// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "session/wire.h"
#include "top/answer.h"

static void hang_up(struct answer *a)
{
	if (a->fd >= 0)
		close(a->fd);
	if (a->out)
		fclose(a->out);
	if (a->err)
		fclose(a->err);
	a->fd = -1;
	a->out = a->err = NULL;
}

void answer_drop(struct answer *a)
{
	hang_up(a);
	free(a->text);
	free(a->said);
	free(a->why);
	json_decref(a->json);
	*a = ANSWER_NONE;
}

int answer_ask(struct answer *a, const char *path, const char *const *args)
{
	int err;

	answer_drop(a);
	a->out = open_memstream(&a->text, &a->text_len);
	a->err = open_memstream(&a->said, &a->said_len);
	if (!a->out || !a->err) {
		answer_drop(a);
		return -ENOMEM;
	}
	a->fd = wire_connect(path);
	err = a->fd < 0 ? a->fd : wire_request(a->fd, args, -1);
	if (err)
		answer_drop(a);
	return err;
}

/* What the daemon said on its standard error, without "vmaheap: " and the newline. */
static char *sentence(const char *said)
{
	static const char us[] = "vmaheap: ";

	if (!strncmp(said, us, strlen(us)))
		said += strlen(us);
	return strndup(said, strcspn(said, "\n"));
}

static void complete(struct answer *a, int status)
{
	json_error_t e;

	hang_up(a);
	if (!status && a->text_len)
		a->json = json_loadb(a->text, a->text_len, 0, &e);
	if (!a->json && a->said_len)
		a->why = sentence(a->said);
	else if (!a->json)
		a->why = strdup(status == -ESRCH ?
					"it is not watched any more" :
					"the daemon has no answer");
}

bool answer_read(struct answer *a)
{
	static char buf[WIRE_MAX + 1];
	int pass;
	ssize_t len = wire_recv(a->fd, buf, &pass);

	if (len == -EINTR || len == -EAGAIN)
		return false;
	if (pass >= 0)
		close(pass);
	if (len <= 0) {
		hang_up(a);
		a->why = strdup("the daemon is gone");
		return true;
	}
	if (buf[0] == WIRE_OUT)
		fwrite(buf + 1, 1, (size_t)len - 1, a->out);
	else if (buf[0] == WIRE_ERR)
		fwrite(buf + 1, 1, (size_t)len - 1, a->err);
	else if (buf[0] == WIRE_EXIT)
		complete(a, atoi(buf + 1));
	return buf[0] == WIRE_EXIT;
}
