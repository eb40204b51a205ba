/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Lives of abi.c that have files of their own, and what these share.
 */

#ifndef ABI_H
#define ABI_H

#include "common.h"

#include <stddef.h>

#define OK HAPROXY_EMAIL_ALERT_OK
#define ERR_QUEUE_FULL HAPROXY_EMAIL_ALERT_ERR_QUEUE_FULL
#define ERR_NOT_RUNNING HAPROXY_EMAIL_ALERT_ERR_NOT_RUNNING
#define ERR_INVALID HAPROXY_EMAIL_ALERT_ERR_INVALID
#define ERR_CONFIG HAPROXY_EMAIL_ALERT_ERR_CONFIG
#define ERR_EMPTY HAPROXY_EMAIL_ALERT_ERR_EMPTY
#define ERR_PENDING HAPROXY_EMAIL_ALERT_ERR_PENDING
#define ERR_SYSTEM HAPROXY_EMAIL_ALERT_ERR_SYSTEM
#define ERR_PANIC HAPROXY_EMAIL_ALERT_ERR_PANIC

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* The number of an event's texts. */
#define TEXTS 10

/* The texts of an event, as offsets. */
extern const size_t texts[TEXTS];

struct haproxy_email_alert_text *text_of(struct haproxy_email_alert_event *event, size_t which);

/* Lives, see the file of each. <directory> is empty. */
void pointers(const char *directory);
void buffers(const char *directory);
void messages(const char *directory);
void life(const char *directory);

#endif
