# SPDX-License-Identifier: GPL-2.0-or-later
# Use EMAIL_ALERT_INC and EMAIL_ALERT_LIB to force path to the header and to
# the library of haproxy-email-alert if needed.
EMAIL_ALERT_INC =
EMAIL_ALERT_LIB =

# "2.6.12" and "3.5-dev5" are "2 6 12" and "3 5"; no HAProxy header has it as numbers
EMAIL_ALERT_BRANCH := $(subst ., ,$(firstword $(subst -, ,$(VERSION))))

OPTIONS_OBJS    += addons/email-alert/email_alert.o addons/email-alert/event.o \
                   addons/email-alert/native.o addons/email-alert/reconcile.o \
                   addons/email-alert/stats_uri.o
# 2.6 has no event API: a patch adds observers of servers
ifeq ($(word 1,$(EMAIL_ALERT_BRANCH)).$(word 2,$(EMAIL_ALERT_BRANCH)),2.6)
OPTIONS_OBJS    += addons/email-alert/observe_patch.o
else
OPTIONS_OBJS    += addons/email-alert/observe_hdl.o
endif
OPTIONS_CFLAGS  += -DEMAIL_ALERT_HAPROXY_MAJOR=$(word 1,$(EMAIL_ALERT_BRANCH)) \
                   -DEMAIL_ALERT_HAPROXY_MINOR=$(word 2,$(EMAIL_ALERT_BRANCH)) \
                   $(if $(EMAIL_ALERT_INC),-I$(EMAIL_ALERT_INC))
OPTIONS_LDFLAGS += $(if $(EMAIL_ALERT_LIB),-L$(EMAIL_ALERT_LIB)) -lhaproxy_email_alert
