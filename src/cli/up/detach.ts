/**
 * `tsnat up --detach`: the command starts itself again, in a session of its own and with its output in the instance's log,
 * and waits for word over an IPC channel: ready, or the error that ended it. Nothing is left running after a failure.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { errorFromObject } from '../../api/error-object.js'
import type { ErrorObject } from '../../api/error-object.js'
import { alreadyRunning, makeInstanceDirectory, runningPid } from '../../api/instance.js'
import { ExitCode, TsnatError } from '../../errors.js'

/** Set for the detached process; tells it that its IPC channel leads to the waiting command. */
const MARK = 'TSNAT_DETACHED'

/** What the detached process says. */
type Word = { type: 'ready' } | ({ type: 'error' } & ErrorObject)

/** Whether this process was started by {@link detach}. The mark is taken off, so that children do not inherit it. */
export const takeDetachedMark = (): boolean => {
  const marked = process.env[MARK] === '1' && process.send !== undefined
  delete process.env[MARK]
  return marked
}

/** Tells the waiting command and lets go of it. Resolves when it was told, or when nobody listens any more. */
export const tellParent = async (word: Word): Promise<void> => {
  if (process.send === undefined || !process.connected) return
  await new Promise<void>((resolve) => process.send?.(word, undefined, undefined, () => resolve()))
  if (process.connected) process.disconnect()
}

/** The end of the log, each line on a line of its own after the message. */
const lastLines = (path: string, count: number): string => {
  const text = readFileSync(path, 'utf8').trimEnd()
  return text === '' ? '' : ['', ...text.split('\n').slice(-count)].join('\n  ')
}

const wordOf = async (child: ChildProcess, name: string, logPath: string): Promise<void> => {
  let word: Word | undefined
  child.on('message', (message) => {
    word = message as Word
  })
  const exited = once(child, 'exit')
  exited.catch(() => {})
  // The channel ends after the last message was delivered, also when the process dies.
  await once(child, 'disconnect')
  if (word?.type === 'ready') return
  const [code, signal] = (await exited) as [number | null, NodeJS.Signals | null]
  if (word !== undefined) throw errorFromObject(word)
  throw new TsnatError(`instance "${name}" died while starting (${signal ?? `exit code ${code}`})${lastLines(logPath, 10)}`, {
    code: 'DIED',
    hint: `its log is ${logPath}`,
    exitCode: code === ExitCode.bug ? ExitCode.bug : ExitCode.failure,
  })
}

/**
 * Starts an instance in the background and waits until packets flow.
 * @param args of this command; `--detach` is left out for the new process
 * @param seconds to wait at most; then the new process is ended
 * @returns pid of the gateway
 * @throws the error that ended the new process; TsnatError NOT_READY after `seconds`
 */
export const detach = async (name: string, args: readonly string[], seconds: number): Promise<number> => {
  const running = runningPid(name)
  if (running !== null) throw alreadyRunning(name, running)
  const logPath = join(makeInstanceDirectory(name), 'log')
  const log = openSync(logPath, 'w', 0o600)
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1]!, ...args.filter((one) => one !== '--detach')], {
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
    env: { ...process.env, [MARK]: '1' },
  })
  closeSync(log)

  let late = false
  const end = (): void => void child.kill('SIGTERM')
  const timer = setTimeout(() => {
    late = true
    end()
  }, seconds * 1000)
  // Being in a session of its own, the new process does not get the Ctrl-C that ends this one.
  process.once('SIGINT', end).once('SIGTERM', end)
  try {
    await wordOf(child, name, logPath)
  } catch (error) {
    if (!late) throw error
    throw new TsnatError(`instance "${name}" was not ready after ${seconds} s and was ended${lastLines(logPath, 5)}`, {
      code: 'NOT_READY',
      hint: `its log is ${logPath}; wait longer with --ready-timeout, or start it in the foreground to watch it`,
    })
  } finally {
    clearTimeout(timer)
    process.off('SIGINT', end).off('SIGTERM', end)
  }
  child.unref()
  return child.pid!
}
