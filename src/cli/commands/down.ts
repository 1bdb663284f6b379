import { Command, Option } from 'commander'
import { rmSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { forgetInstance, isAlive, notRunning, runningPid } from '../../api/instance.js'
import { ExitCode, TsnatError } from '../../errors.js'
import { clientFor, examples, instanceOptions, wholeNumber } from '../options.js'
import type { InstanceOptions } from '../options.js'
import { write } from '../terminal.js'
import type { Terminal } from '../terminal.js'

interface DownOptions extends InstanceOptions {
  timeout: number
}

/** Asks the gateway to stop; when it cannot be asked but its process is known, by SIGTERM. Returns its pid, null when there is none. */
const ask = async (options: DownOptions): Promise<number | null> => {
  const client = clientFor(options)
  const recorded = runningPid(options.name)
  try {
    // The pid of an instance with another control socket or run directory is known only to itself.
    const pid = recorded ?? (await client.status()).pid
    await client.stop()
    return pid
  } catch (error) {
    if (!(error instanceof TsnatError) || error.exitCode === ExitCode.permission) throw error
    if (recorded !== null) {
      process.kill(recorded, 'SIGTERM')
      return recorded
    }
    if (error.code === 'NOT_RUNNING') return null
    throw error
  }
}

const waitForEnd = async (name: string, pid: number, seconds: number): Promise<void> => {
  const deadline = performance.now() + seconds * 1000
  while (isAlive(pid)) {
    if (performance.now() >= deadline) {
      throw new TsnatError(`instance "${name}" (pid ${pid}) did not stop within ${seconds} s`, {
        code: 'NOT_STOPPED',
        hint: `end it with "kill -9 ${pid}" and run "tsnat down --name ${name}" again, which undoes what it leaves`,
      })
    }
    await setTimeout(20)
  }
}

const run = async (options: DownOptions, terminal: Terminal): Promise<void> => {
  const { name } = options
  const pid = await ask(options)
  if (pid !== null) await waitForEnd(name, pid, options.timeout)
  // A gateway that stopped in good order left nothing; one that crashed did.
  const { recover } = await import('../../host/journal.js')
  const { undone, failed } = (await recover(name)) ?? { undone: [], failed: [] }
  rmSync(clientFor(options).path, { force: true })
  forgetInstance(name)
  const [first] = failed
  if (pid === null && undone.length === 0 && first === undefined) throw notRunning(name)
  if (options.json === true) {
    const failures = failed.map(({ what, error }) => ({ what, error: error.message }))
    await write(terminal.out, `${JSON.stringify({ name, stopped: pid, undone, failed: failures })}\n`)
  } else {
    const head = pid === null ? `tsnat ${name} was not running; undoing what it left:` : `tsnat ${name} stopped (pid ${pid})`
    await write(terminal.out, [head, ...undone.map((line) => `  ${line}`)].map((line) => `${line}\n`).join(''))
  }
  if (first !== undefined) {
    const counts = `${failed.length} of ${undone.length + failed.length} changes`
    throw new TsnatError(`${counts} could not be undone; the first: ${first.what}: ${first.error.message}`, {
      code: 'UNDO_FAILED',
      hint: `mend what hinders it and run "tsnat down --name ${name}" again`,
      cause: first.error,
    })
  }
}

/** `tsnat down` */
export const downCommand = (terminal: Terminal): Command =>
  examples(
    instanceOptions(new Command('down'))
      .description('stop a gateway, or undo what a crashed one left on the host')
      .addOption(new Option('--timeout <seconds>', 'wait so long for it to stop').default(15).argParser(wholeNumber(1, 3600)))
      .action((options: DownOptions) => run(options, terminal)),
    [
      ['tsnat down', 'the instance "default"'],
      ['tsnat down --name lab', 'another one'],
    ],
  )
