/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * A slow disk, to be preloaded: every flush takes 2 s, and every change of a directory 10 ms, as on a disk that serves
 * another program's writes first. Data that is written stays in the page cache, as on a real disk, and takes no time.
 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void take(long milliseconds)
{
	struct timespec time = { milliseconds / 1000, milliseconds % 1000 * 1000000 };

	while (nanosleep(&time, &time) != 0)
		;
}

static void flush(void)
{
	take(2000);
}

static void change_directory_entry(void)
{
	take(10);
}

int fsync(int fd)
{
	flush();
	return syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	flush();
	return syscall(SYS_fdatasync, fd);
}

int syncfs(int fd)
{
	flush();
	return syscall(SYS_syncfs, fd);
}

int renameat(int old_directory, const char *old, int new_directory, const char *new)
{
	change_directory_entry();
	return syscall(SYS_renameat2, old_directory, old, new_directory, new, 0);
}

int unlinkat(int directory, const char *name, int flags)
{
	change_directory_entry();
	return syscall(SYS_unlinkat, directory, name, flags);
}
