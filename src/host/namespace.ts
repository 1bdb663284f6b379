/**
 * Network namespaces: the own one, and others by name, path or process.
 *
 * A namespace is a property of a thread. Whatever is opened while the thread is in a namespace stays there: netlink
 * sockets, TUN descriptors; files below /proc/sys/net follow the thread that opens them. So work in another namespace is
 * a short synchronous section, after which the thread is always back where it was.
 */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ExitCode, TsnatError } from '../errors.js'
import { native } from '../native.js'

/** Where `ip netns` keeps the names. */
const NAMES_DIRECTORY = '/run/netns'
const OWN_PATH = '/proc/thread-self/ns/net'

export interface NetworkNamespace {
  /** `NAME`, `PATH` or `PID` as given; null for the own namespace. */
  readonly label: string | null
  /** Path of the namespace file; for the own namespace one that means "the calling thread's". */
  readonly path: string
  /** Device and inode of the namespace, the same for every path that leads to it. */
  readonly id: string
  /** Runs synchronous work in the namespace. The thread returns to its own namespace even when `work` throws. */
  run<T>(work: () => T extends PromiseLike<unknown> ? never : T): T
  /** Gives the descriptor back; `run` may not be called afterwards. */
  close(): void
}

/** Identity of the namespace behind a path. @throws the error of stat(2) */
export const namespaceId = (path: string): string => {
  const { dev, ino } = statSync(path)
  return `${dev}:${ino}`
}

/** The namespace that this thread is in. */
export const ownNamespace = (): NetworkNamespace => ({
  label: null,
  path: OWN_PATH,
  id: namespaceId(OWN_PATH),
  run: (work) => work(),
  close: () => {},
})

/** Names that `ip netns` knows, sorted. */
export const namespaceNames = (): string[] => {
  try {
    return readdirSync(NAMES_DIRECTORY).sort()
  } catch {
    return []
  }
}

const exists = (path: string): boolean => statSync(path, { throwIfNoEntry: false }) !== undefined

/**
 * Finds the namespace file that a specification means: with a slash it is a path; otherwise a name known to `ip netns`;
 * otherwise, when it is a number, a process.
 * @throws TsnatError UNKNOWN_NAMESPACE
 */
export const resolveNamespacePath = (specification: string): string => {
  if (specification.includes('/')) {
    if (exists(specification)) return specification
    throw new TsnatError(`there is no network namespace at "${specification}"`, {
      code: 'UNKNOWN_NAMESPACE',
      hint: 'give a file such as /run/netns/NAME or /proc/PID/ns/net',
      exitCode: ExitCode.device,
    })
  }
  const named = join(NAMES_DIRECTORY, specification)
  if (specification !== '' && specification !== '.' && specification !== '..' && exists(named)) return named
  if (/^\d+$/.test(specification)) {
    if (exists(`/proc/${specification}`)) return `/proc/${specification}/ns/net`
    throw new TsnatError(`there is no process ${specification}, and no network namespace of that name`, {
      code: 'UNKNOWN_NAMESPACE',
      hint: 'give a running process, a name from "ip netns", or a path',
      exitCode: ExitCode.device,
    })
  }
  const names = namespaceNames()
  throw new TsnatError(`there is no network namespace "${specification}"`, {
    code: 'UNKNOWN_NAMESPACE',
    hint: names.length === 0
      ? 'none has a name here; create one with "ip netns add", or give a path or a process'
      : `known: ${names.join(', ')}`,
    exitCode: ExitCode.device,
  })
}

const permissionError = (specification: string, cause: unknown): TsnatError =>
  new TsnatError(`may not enter the network namespace "${specification}"`, {
    code: 'NAMESPACE_PERMISSION',
    hint: 'entering another namespace needs CAP_SYS_ADMIN (and CAP_SYS_PTRACE for another user\'s process): run as root',
    exitCode: ExitCode.permission,
    cause,
  })

const isDenied = (error: unknown): boolean => {
  const { code } = error as { code?: string }
  return code === 'EPERM' || code === 'EACCES'
}

class ForeignNamespace implements NetworkNamespace {
  readonly label: string
  readonly path: string
  readonly id: string
  readonly #fd: number

  constructor(label: string, path: string) {
    this.label = label
    this.path = path
    this.#fd = native().openPath(path)
    this.id = namespaceId(`/proc/self/fd/${this.#fd}`)
  }

  run<T>(work: () => T extends PromiseLike<unknown> ? never : T): T {
    const home = native().openPath(OWN_PATH)
    try {
      native().setNetworkNamespace(this.#fd)
      try {
        return work()
      } finally {
        native().setNetworkNamespace(home)
      }
    } finally {
      native().close(home)
    }
  }

  close(): void {
    native().close(this.#fd)
  }
}

/**
 * Opens the namespace that `NAME`, `PATH` or `PID` means, and enters it once to see that it may be entered.
 * @throws TsnatError UNKNOWN_NAMESPACE, NAMESPACE_PERMISSION, or NOT_A_NAMESPACE
 */
export const openNamespace = (specification: string): NetworkNamespace => {
  const path = resolveNamespacePath(specification)
  let namespace: ForeignNamespace | undefined
  try {
    namespace = new ForeignNamespace(specification, path)
    namespace.run(() => 0)
    return namespace
  } catch (cause) {
    namespace?.close()
    if (isDenied(cause)) throw permissionError(specification, cause)
    throw new TsnatError(`"${path}" is not a network namespace`, {
      code: 'NOT_A_NAMESPACE',
      hint: 'give a file such as /run/netns/NAME or /proc/PID/ns/net',
      exitCode: ExitCode.device,
      cause,
    })
  }
}

/** Paths by which a namespace may still be reached: the one recorded, the names, one per process. */
const candidates = function* (recorded: string | null): Generator<string> {
  if (recorded !== null) yield recorded
  for (const name of namespaceNames()) yield join(NAMES_DIRECTORY, name)
  for (const entry of readdirSync('/proc')) if (/^\d+$/.test(entry)) yield `/proc/${entry}/ns/net`
}

/**
 * Finds a namespace again by its identity, as recorded earlier, perhaps by a process that is gone.
 * @returns null when no name and no process leads to it: it exists no more, or nobody can reach it
 */
export const findNamespace = (id: string, recordedPath: string | null): NetworkNamespace | null => {
  const own = ownNamespace()
  if (own.id === id) return own
  for (const path of candidates(recordedPath)) {
    try {
      if (namespaceId(path) === id) return openNamespace(path)
    } catch {
      // Gone in the meantime, or not ours to enter: the next path may do.
    }
  }
  return null
}

