// SPDX-License-Identifier: GPL-2.0
/*
 * Allocates without a system call, until it is killed, next to a thread that the
 * kernel has made for io_uring: of the process, but never in user mode (Linux 5.12
 * on; a kernel thread before).
 */
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
	struct io_uring_params par = { .flags = IORING_SETUP_SQPOLL };
	void *volatile p;

	if (syscall(SYS_io_uring_setup, 4, &par) < 0) {
		perror("io_uring_setup");
		return 1;
	}
	puts("running");
	fflush(stdout);
	for (;;) {
		p = malloc(100);
		free(p);
	}
}
