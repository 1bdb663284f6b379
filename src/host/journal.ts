/**
 * The journal of an instance: who it is, what it occupies, and what it changed on the host.
 *
 * It is the file `/run/tsnat/NAME/journal.json`, written anew (and renamed into place) before each change, so that whatever
 * moment the process dies at, the file lists at least what was changed. At exit the steps are undone in reverse and the file
 * is removed. A file whose process is dead is what a crash left: {@link recover} undoes it.
 *
 * A process is told apart from a later one with the same number by its start time.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ExitCode, TsnatError } from '../errors.js'
import { describeStep, undoStep } from './journal-steps.js'
import type { Step } from './journal-steps.js'
import { isErrno } from './netlink-error.js'
import { processStart } from './process-start.js'
import { instanceDirectory, runDirectory } from './run-directory.js'

export { referenceTo } from './journal-steps.js'
export type { NamespaceReference, Step } from './journal-steps.js'

/** What an instance occupies of a WAN. */
export interface WanClaim {
  namespace: string
  interface: string
  /** Ports on a shared address; null when it has addresses of its own. */
  ports: string | null
  /** Addresses of its own, without prefix length; empty on a shared address. */
  addresses: string[]
}

/** What an instance occupies; others that want the same are refused. Namespaces by their identity. */
export interface Claims {
  wans: WanClaim[]
  lan: { namespace: string; interface: string }
}

export interface Instance {
  name: string
  pid: number
  claims: Claims
}

interface JournalFile extends Instance {
  version: 2
  /** Start time of the process, in clock ticks since boot. */
  start: string
  steps: Step[]
}

export interface UndoReport {
  name: string
  /** One line each: what was put back, newest change first. */
  undone: string[]
  /** What could not be, and stays in the journal for the next try. */
  failed: { what: string; error: Error }[]
}

const fileOf = (name: string): string => join(instanceDirectory(name), 'journal.json')

const isAlive = ({ pid, start }: JournalFile): boolean => processStart(pid) === start

/** Null when there is none. @throws TsnatError BAD_JOURNAL, JOURNAL_PERMISSION */
const readJournal = (name: string): JournalFile | null => {
  const path = fileOf(name)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    const { code } = cause as { code?: string }
    if (code === 'ENOENT' || code === 'ENOTDIR') return null
    throw permissionError(path, cause)
  }
  try {
    const file = JSON.parse(text) as JournalFile
    if (file.version === 2 && Array.isArray(file.steps)) return file
  } catch {
    // Not JSON: reported below.
  }
  throw new TsnatError(`${path} is not a journal of this version of tsnat`, {
    code: 'BAD_JOURNAL',
    hint: 'run "tsnat down" of the version that wrote it, or undo what it lists by hand and remove it',
    exitCode: ExitCode.config,
  })
}

const permissionError = (path: string, cause: unknown): TsnatError =>
  new TsnatError(`cannot use ${path}: ${(cause as { code?: string }).code ?? String(cause)}`, {
    code: 'JOURNAL_PERMISSION',
    hint: 'run as root, or name a folder of your own in the environment variable TSNAT_RUN_DIR',
    exitCode: ExitCode.permission,
    cause,
  })

const runningError = ({ name, pid }: Instance): TsnatError =>
  new TsnatError(`an instance named "${name}" is running (pid ${pid})`, {
    code: 'ALREADY_RUNNING',
    hint: `stop it with "tsnat down --name ${name}", or start this one with another --name`,
    exitCode: ExitCode.config,
  })

const write = (file: JournalFile): void => {
  const path = fileOf(file.name)
  try {
    mkdirSync(instanceDirectory(file.name), { recursive: true, mode: 0o700 })
    writeFileSync(`${path}.new`, `${JSON.stringify(file, null, 1)}\n`, { mode: 0o600 })
    renameSync(`${path}.new`, path)
  } catch (cause) {
    throw permissionError(path, cause)
  }
}

/** Undoing goes on without the file: steps that are listed though undone are found to be so by whoever tries again. */
const saveIfPossible = (file: JournalFile): void => {
  try {
    write(file)
  } catch {
    // As said.
  }
}

/** Removes the file, and the folder of the instance when nothing else is in it. */
const remove = (name: string): void => {
  rmSync(fileOf(name), { force: true })
  try {
    rmdirSync(instanceDirectory(name))
  } catch {
    // A log or a socket is still in it.
  }
}

/** Undoes all steps, newest first. The file is brought up to date after each, and removed when none is left. */
const undoAll = async (file: JournalFile): Promise<UndoReport> => {
  const report: UndoReport = { name: file.name, undone: [], failed: [] }
  for (const step of file.steps.toReversed()) {
    try {
      if (await undoStep(step) === 'undone') report.undone.push(describeStep(step))
    } catch (error) {
      report.failed.push({ what: describeStep(step), error: error instanceof Error ? error : new Error(String(error)) })
      continue
    }
    file.steps.splice(file.steps.indexOf(step), 1)
    saveIfPossible(file)
  }
  if (file.steps.length === 0) remove(file.name)
  return report
}

export class Journal {
  readonly name: string
  readonly #file: JournalFile

  /**
   * Opens the journal of a new instance; what a dead one of that name left is undone first.
   * @throws TsnatError ALREADY_RUNNING, BAD_JOURNAL, JOURNAL_PERMISSION, or RECOVERY when something could not be undone
   */
  static async open(name: string, claims: Claims): Promise<{ journal: Journal; recovered: UndoReport | null }> {
    const recovered = await recover(name)
    const failed = recovered?.failed[0]
    if (failed !== undefined) {
      throw new TsnatError(`cannot undo what a crash of "${name}" left: ${failed.what}: ${failed.error.message}`, {
        code: 'RECOVERY',
        hint: `undo it by hand, then remove ${fileOf(name)}`,
        exitCode: ExitCode.config,
        cause: failed.error,
      })
    }
    return { journal: new Journal(name, claims), recovered }
  }

  private constructor(name: string, claims: Claims) {
    this.name = name
    this.#file = { version: 2, name, pid: process.pid, start: processStart(process.pid) ?? '', claims, steps: [] }
    write(this.#file)
  }

  get steps(): readonly Step[] {
    return this.#file.steps
  }

  /** Records a step, then makes the change. When the kernel refuses it, the step is forgotten and the error thrown on. */
  async apply(step: Step, change: () => void | Promise<void>): Promise<void> {
    this.#file.steps.push(step)
    write(this.#file)
    try {
      await change()
    } catch (error) {
      if (error instanceof TsnatError && !isErrno(error, 'ETIMEDOUT')) this.forget(step)
      throw error
    }
  }

  /** Undoes one step now, ahead of the others. */
  async revert(step: Step): Promise<void> {
    await undoStep(step)
    this.forget(step)
  }

  /** Drops a step without undoing it: its change was not made, or is gone already. */
  forget(step: Step): void {
    const index = this.#file.steps.indexOf(step)
    if (index < 0) return
    this.#file.steps.splice(index, 1)
    write(this.#file)
  }

  /** Undoes everything, newest first, and removes the file. What fails stays listed. Never throws. */
  undo(): Promise<UndoReport> {
    return undoAll(this.#file)
  }
}

/**
 * Undoes what a dead instance left, or, on the way out in a hurry, what this very process did.
 * @returns null when there is nothing of that name
 * @throws TsnatError ALREADY_RUNNING when the instance lives in another process, BAD_JOURNAL, JOURNAL_PERMISSION
 */
export const recover = async (name: string): Promise<UndoReport | null> => {
  const file = readJournal(name)
  if (file === null) return null
  if (isAlive(file) && file.pid !== process.pid) throw runningError(file)
  return undoAll(file)
}

/** Instances that are running now. Unreadable journals are passed over. */
export const runningInstances = (): Instance[] => {
  let names: string[]
  try {
    names = readdirSync(runDirectory())
  } catch {
    return []
  }
  return names.flatMap((name) => {
    try {
      const file = readJournal(name)
      return file !== null && isAlive(file) ? [{ name: file.name, pid: file.pid, claims: file.claims }] : []
    } catch {
      return []
    }
  })
}
