/**
 * Takes laboratories down when the process ends, however it ends. At a SIGKILL nothing here runs: then the kernel does
 * it, as programs die with their parent and unnamed namespaces with the last descriptor; only a name under /run/netns
 * would stay.
 */
export interface Closable {
  /** Synchronous, idempotent, never throws. */
  closeNow(): void
}

const signals: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP']
const open = new Set<Closable>()

const closeAll = (): void => {
  for (const each of open) each.closeNow()
  open.clear()
}

/** Closes everything, then lets the signal do what it would have done without this handler. */
const onSignal = (signal: NodeJS.Signals): void => {
  closeAll()
  uninstall()
  if (process.listenerCount(signal) === 0) process.kill(process.pid, signal)
}

const install = (): void => {
  process.on('exit', closeAll)
  for (const signal of signals) process.on(signal, onSignal)
}

const uninstall = (): void => {
  process.off('exit', closeAll)
  for (const signal of signals) process.off(signal, onSignal)
}

export const closeAtExit = (what: Closable): void => {
  if (open.size === 0) install()
  open.add(what)
}

export const forget = (what: Closable): void => {
  if (open.delete(what) && open.size === 0) uninstall()
}
