/*
 * Watches: readability of a descriptor that libuv cannot poll, told to the event loop.
 *
 * Each watch has one thread, which polls the descriptor and an eventfd. When the descriptor is readable it queues one call
 * of the JavaScript function and disarms itself: it then waits on the eventfd only, until `watchRearm` arms it again.
 * `armed` and `stopping` are the only fields that both sides write; every write to them by JavaScript is followed by a
 * signal on the eventfd. All else is set before the thread starts.
 *
 * Life: the object given to JavaScript is held by a strong reference until the watch is stopped, so a watch that is still
 * running is never collected. It is stopped by `watchClose`, or by the cleanup hook when its environment (a worker thread)
 * ends; stopping joins the thread. The memory has two owners, the object and the thread-safe function, whose finalizers
 * both run on the JavaScript thread; the later one frees it.
 */
#include "util.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct watch {
  int fd;
  int wake;
  atomic_bool armed;
  atomic_bool stopping;
  pthread_t thread;
  napi_threadsafe_function function;
  napi_ref self;
  bool stopped;
  int owners;
};

static const napi_type_tag watch_tag = {0x7f3d1f5b0c2e4a61, 0x9b8e6d2a4c713f05};

static void *run(void *data) {
  struct watch *watch = data;
  while (!atomic_load(&watch->stopping)) {
    struct pollfd polled[2] = {
        {.fd = watch->wake, .events = POLLIN},
        {.fd = atomic_load(&watch->armed) ? watch->fd : -1, .events = POLLIN},
    };
    if (poll(polled, 2, -1) < 0) continue;
    eventfd_t value;
    if (polled[0].revents != 0) eventfd_read(watch->wake, &value);
    if (polled[1].revents != 0 && !atomic_load(&watch->stopping)) {
      atomic_store(&watch->armed, false);
      if (napi_call_threadsafe_function(watch->function, NULL, napi_tsfn_nonblocking) != napi_ok) return NULL;
    }
  }
  return NULL;
}

/* With env NULL the function is being torn down, and the watch may be gone. */
static void on_readable(napi_env env, napi_value function, void *context, void *data) {
  (void)data;
  struct watch *watch = context;
  if (env == NULL || watch->stopped) return;
  napi_value undefined;
  napi_value error;
  if (napi_get_undefined(env, &undefined) != napi_ok) return;
  if (napi_call_function(env, undefined, function, 0, NULL, NULL) == napi_pending_exception &&
      napi_get_and_clear_last_exception(env, &error) == napi_ok) {
    napi_fatal_exception(env, error);
  }
}

static void disown(struct watch *watch) {
  if (--watch->owners > 0) return;
  if (watch->wake >= 0) close(watch->wake);
  free(watch);
}

static void finalize_function(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  disown(data);
}

static void finalize_object(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  disown(data);
}

static void stop_thread(struct watch *watch) {
  watch->stopped = true;
  atomic_store(&watch->stopping, true);
  eventfd_write(watch->wake, 1);
  pthread_join(watch->thread, NULL);
  /* Now rather than when the object is collected, which may be much later. */
  close(watch->wake);
  watch->wake = -1;
  napi_release_threadsafe_function(watch->function, napi_tsfn_abort);
}

static void on_environment_end(void *data) {
  stop_thread(data);
}

/* The thread takes no signals, so that handlers of the process run where they always did. */
static int start_thread(struct watch *watch) {
  sigset_t all;
  sigset_t previous;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &previous);
  int number = pthread_create(&watch->thread, NULL, run, watch);
  pthread_sigmask(SIG_SETMASK, &previous, NULL);
  return number;
}

napi_value watch_open(napi_env env, napi_callback_info info) {
  napi_value args[2];
  int fd;
  napi_valuetype type;
  if (!args_get(env, info, 2, args) || !arg_fd(env, args[0], &fd)) return NULL;
  if (napi_typeof(env, args[1], &type) != napi_ok || type != napi_function) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "argument \"onReadable\" must be a function");
    return NULL;
  }

  struct watch *watch = calloc(1, sizeof *watch);
  if (watch == NULL) return throw_errno(env, ENOMEM, "malloc", NULL);
  watch->fd = fd;
  watch->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (watch->wake < 0) {
    int number = errno;
    free(watch);
    return throw_errno(env, number, "eventfd", NULL);
  }
  atomic_init(&watch->armed, true);
  atomic_init(&watch->stopping, false);
  watch->owners = 1;

  napi_value object;
  napi_value name;
  if (napi_create_object(env, &object) != napi_ok || napi_type_tag_object(env, object, &watch_tag) != napi_ok ||
      napi_wrap(env, object, watch, finalize_object, NULL, NULL) != napi_ok) {
    disown(watch);
    return NULL;
  }
  /* From here on the object owns the watch: what fails leaves it to the collector. */
  if (napi_create_string_utf8(env, "tsnat.watch", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_threadsafe_function(env, args[1], NULL, name, 0, 1, watch, finalize_function, watch, on_readable, &watch->function) != napi_ok) {
    watch->stopped = true;
    return throw_errno(env, ENOMEM, "napi_create_threadsafe_function", NULL);
  }
  watch->owners++;
  int number = start_thread(watch);
  if (number != 0) {
    watch->stopped = true;
    napi_release_threadsafe_function(watch->function, napi_tsfn_abort);
    return throw_errno(env, number, "pthread_create", NULL);
  }
  if (napi_create_reference(env, object, 1, &watch->self) != napi_ok ||
      napi_add_env_cleanup_hook(env, on_environment_end, watch) != napi_ok) {
    stop_thread(watch);
    return throw_errno(env, ENOMEM, "napi_create_reference", NULL);
  }
  return object;
}

static struct watch *arg_watch(napi_env env, napi_callback_info info) {
  napi_value args[1];
  bool tagged = false;
  void *watch = NULL;
  if (!args_get(env, info, 1, args)) return NULL;
  if (napi_check_object_type_tag(env, args[0], &watch_tag, &tagged) != napi_ok || !tagged ||
      napi_unwrap(env, args[0], &watch) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "argument \"watch\" must come from watchOpen");
    return NULL;
  }
  return watch;
}

napi_value watch_rearm(napi_env env, napi_callback_info info) {
  struct watch *watch = arg_watch(env, info);
  if (watch == NULL || watch->stopped) return NULL;
  atomic_store(&watch->armed, true);
  eventfd_write(watch->wake, 1);
  return NULL;
}

napi_value watch_ref(napi_env env, napi_callback_info info) {
  napi_value args[2];
  bool on;
  struct watch *watch = arg_watch(env, info);
  if (watch == NULL || watch->stopped || !args_get(env, info, 2, args)) return NULL;
  if (napi_get_value_bool(env, args[1], &on) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "argument \"on\" must be a boolean");
    return NULL;
  }
  if (on) napi_ref_threadsafe_function(env, watch->function);
  else napi_unref_threadsafe_function(env, watch->function);
  return NULL;
}

napi_value watch_close(napi_env env, napi_callback_info info) {
  struct watch *watch = arg_watch(env, info);
  if (watch == NULL || watch->stopped) return NULL;
  napi_remove_env_cleanup_hook(env, on_environment_end, watch);
  stop_thread(watch);
  napi_delete_reference(env, watch->self);
  return NULL;
}
