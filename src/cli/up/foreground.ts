/**
 * One gateway, from its start to its end, in this process.
 *
 * The control socket is opened first: it is the lock that keeps a second instance of the same name from touching what
 * the first one set up. Then the gateway is made; when packets flow, `ready` is printed and the service manager told.
 * The first SIGINT, SIGTERM or SIGHUP begins an orderly stop; a second one undoes what the host still carries and leaves
 * at once. A bug that reaches the top does the same and exits with 70.
 */
import { rmSync } from 'node:fs'
import { constants } from 'node:os'
import type { Logger } from 'pino'
import { forgetInstance } from '../../api/instance.js'
import { openControlServer } from '../../api/server.js'
import type { Config } from '../../config.js'
import { ExitCode } from '../../errors.js'
import type { RunningGateway } from '../../gateway.js'
import { recover } from '../../host/journal.js'
import { reportError } from '../report-error.js'
import { write } from '../terminal.js'
import type { Terminal } from '../terminal.js'
import { notifyServiceManager } from './notify.js'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
/** Milliseconds that undoing may take when leaving in a hurry. */
const HURRY = 5000

/** Undoes and exits; never waits for anything that may hang. */
const leaveNow = ({ name, socket }: Config, code: number, log: Logger): void => {
  setTimeout(() => process.exit(code), HURRY)
  recover(name)
    .then((report) => {
      for (const { what, error: err } of report?.failed ?? []) log.error({ err, what }, 'not undone; "tsnat down" tries again')
    })
    .catch((err: unknown) => log.error({ err }, 'not undone; "tsnat down" tries again'))
    .finally(() => {
      rmSync(socket, { force: true })
      forgetInstance(name)
      process.exit(code)
    })
}

/**
 * @param onReady called once when packets flow
 * @returns after an orderly stop
 * @throws what kept the gateway from starting, or ended it
 */
export const runForeground = async (config: Config, log: Logger, terminal: Terminal, onReady: () => Promise<void>): Promise<void> => {
  const { name } = config
  let gateway: RunningGateway | undefined
  let stopping = false

  const stop = (signal: NodeJS.Signals): void => {
    if (stopping) {
      log.warn({ signal }, 'second signal: undoing and leaving at once')
      return leaveNow(config, 128 + constants.signals[signal], log)
    }
    stopping = true
    log.info({ signal }, 'stopping')
    notifyServiceManager('STOPPING=1', log)
    gateway?.stop()
  }
  const bug = (error: unknown): void => {
    reportError(error, terminal, false)
    leaveNow(config, ExitCode.bug, log)
  }

  const server = await openControlServer({ name, path: config.socket, onError: (err) => log.error({ err }, 'control socket') })
  for (const signal of SIGNALS) process.on(signal, stop)
  process.on('uncaughtException', bug)
  try {
    // Loaded here, so that the other commands do not carry it.
    const { createGateway } = await import('../../gateway.js')
    gateway = await createGateway(config, { log })
    server.attach(gateway)
    if (stopping) gateway.stop()
    const { closed } = gateway
    const reason = await Promise.race([
      gateway.ready.then(() => 'ready' as const),
      closed,
    ])
    if (reason === 'ready' && !stopping) {
      notifyServiceManager('READY=1', log)
      await write(terminal.out, 'ready\n')
      await onReady()
    }
    const end = await closed
    if (!stopping) notifyServiceManager('STOPPING=1', log)
    if (end !== null) throw end
  } finally {
    await server.close()
    for (const signal of SIGNALS) process.off(signal, stop)
    process.off('uncaughtException', bug)
  }
}
