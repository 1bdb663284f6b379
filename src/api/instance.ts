/**
 * Which instances run on this machine. An instance is a name; its folder is `/run/tsnat/NAME`, and the file `pid` there
 * holds the process id and the start time of that process, so that a number that was given away again is not mistaken
 * for it.
 */
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ExitCode, TsnatError } from '../errors.js'
import { processStart } from '../host/process-start.js'
import { instanceDirectory, runDirectory } from '../host/run-directory.js'

/** Path of the control socket of an instance whose configuration names no other. */
export const defaultSocketPath = (name: string): string => join(instanceDirectory(name), 'control.sock')

const pidPath = (name: string): string => join(instanceDirectory(name), 'pid')

/** Whether a process of this id exists and is not a zombie. */
export const isAlive = (pid: number): boolean => processStart(pid) !== null

/** Process id of the instance while it runs, else null. */
export const runningPid = (name: string): number | null => {
  let recorded: string
  try {
    recorded = readFileSync(pidPath(name), 'utf8')
  } catch {
    return null
  }
  const [pid, started] = recorded.trim().split(' ')
  const now = processStart(Number(pid))
  return now !== null && now === started ? Number(pid) : null
}

/** Names of the instances that run, sorted; empty when there are none or the folder may not be read. */
export const runningInstances = (): string[] => {
  try {
    return readdirSync(runDirectory()).filter((name) => runningPid(name) !== null).sort()
  } catch {
    return []
  }
}

/**
 * Makes `/run/tsnat` (0755) and `/run/tsnat/NAME` (0700).
 * @throws TsnatError RUN_DIRECTORY when it may not
 */
export const makeInstanceDirectory = (name: string): string => {
  const folder = instanceDirectory(name)
  try {
    mkdirSync(runDirectory(), { recursive: true, mode: 0o755 })
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    chmodSync(folder, 0o700)
    return folder
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const denied = code === 'EACCES' || code === 'EPERM'
    throw new TsnatError(`cannot make the folder ${folder}: ${denied ? 'permission denied' : code}`, {
      code: 'RUN_DIRECTORY',
      hint: denied ? 'run tsnat as root (sudo tsnat …), or set TSNAT_RUN_DIR to a folder of your own' : `check ${runDirectory()}`,
      exitCode: denied ? ExitCode.permission : ExitCode.config,
      cause: error,
    })
  }
}

/** Notes this process as the one that runs the instance. */
export const recordInstance = (name: string): void =>
  writeFileSync(pidPath(name), `${process.pid} ${processStart(process.pid)}\n`, { mode: 0o600 })

/** Takes the note away, and the instance's folder when nothing else is in it. */
export const forgetInstance = (name: string): void => {
  rmSync(pidPath(name), { force: true })
  try {
    rmdirSync(instanceDirectory(name))
  } catch {
    // A log is still in it.
  }
}

export const alreadyRunning = (name: string, pid: number | null): TsnatError =>
  new TsnatError(`an instance named "${name}" is already running${pid === null ? '' : ` (pid ${pid})`}`, {
    code: 'ALREADY_RUNNING',
    hint: `stop it with "tsnat down --name ${name}", or choose another name with --name`,
    exitCode: ExitCode.config,
  })

export const notRunning = (name: string): TsnatError => {
  const others = runningInstances()
  const start = `start it with "tsnat up --wan INTERFACE${name === 'default' ? '' : ` --name ${name}`}"`
  return new TsnatError(`no instance named "${name}" is running`, {
    code: 'NOT_RUNNING',
    hint: others.length === 0 ? start : `running: ${others.join(', ')} (choose with --name)`,
    exitCode: ExitCode.notRunning,
  })
}
