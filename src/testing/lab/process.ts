import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { TsnatError } from '../../errors.js'

export interface SpawnOptions {
  cwd?: string
  /** Added to the environment of this process. */
  env?: Record<string, string>
  /** Written to the program's standard input, which is then closed. Without it standard input is empty. */
  input?: string | Uint8Array
  /** Where standard output goes: collected (default), thrown away, or a descriptor. */
  stdout?: 'collect' | 'ignore' | number
  /** Keep standard input open for {@link LabProcess.write}. */
  interactive?: boolean
}

export interface RunOptions extends SpawnOptions {
  /** Milliseconds until the program is killed and the call rejects. Default 60 000. */
  timeout?: number
  /** Reject, with the program's output in the message, unless it exits with 0. */
  check?: boolean
}

export interface RunResult {
  stdout: string
  stderr: string
  /** Exit code; null when a signal ended it. 127 when the program does not exist. */
  code: number | null
  signal: NodeJS.Signals | null
}

/**
 * A program that runs in the namespace of the thread that constructed this. It leads a process group of its own, and the
 * kernel kills it when this process dies, however that happens (PR_SET_PDEATHSIG, set by setpriv of util-linux).
 */
export class LabProcess {
  readonly command: string
  readonly child: ChildProcess
  readonly pid: number
  /** Resolves when the program has ended and its output is complete; never rejects. */
  readonly done: Promise<RunResult>
  /** What it has printed so far. */
  stdout = ''
  stderr = ''
  #ended = false

  constructor(command: string, args: readonly string[], options: SpawnOptions = {}) {
    this.command = [command, ...args].join(' ')
    const stdin = options.input !== undefined || options.interactive ? 'pipe' : 'ignore'
    const stdout = options.stdout === undefined || options.stdout === 'collect' ? 'pipe' : options.stdout
    this.child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', command, ...args], {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: [stdin, stdout, 'pipe'],
      detached: true,
    })
    this.pid = this.child.pid ?? -1
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => { this.stdout += text })
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => { this.stderr += text })
    this.child.stdin?.on('error', () => {})
    if (options.input !== undefined) this.child.stdin?.end(options.input)
    this.done = new Promise((resolve) => {
      const finish = (code: number | null, signal: NodeJS.Signals | null): void => {
        this.#ended = true
        resolve({ stdout: this.stdout, stderr: this.stderr, code, signal })
      }
      this.child.on('close', finish)
      this.child.on('error', (error) => {
        this.stderr += `${error.message}\n`
        finish(127, null)
      })
    })
  }

  get ended(): boolean {
    return this.#ended
  }

  write(text: string): void {
    this.child.stdin?.write(text)
  }

  /** Signals the program and its children. Does nothing when they are gone. */
  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    if (this.pid <= 0) return
    try {
      process.kill(-this.pid, signal)
    } catch {
      // The group has no process left.
    }
  }

  /**
   * Waits until the output, standard output before standard error, matches.
   * @throws TsnatError LAB_PROCESS when the program ends or `timeout` milliseconds pass first
   */
  async waitFor(pattern: RegExp, timeout = 10_000): Promise<RegExpMatchArray> {
    const find = (): RegExpMatchArray | null => this.stdout.match(pattern) ?? this.stderr.match(pattern)
    return await new Promise((resolve, reject) => {
      const stop = (): void => {
        clearTimeout(timer)
        this.child.stdout?.off('data', look)
        this.child.stderr?.off('data', look)
      }
      const fail = (why: string): void => {
        stop()
        reject(this.failure(why))
      }
      const look = (): void => {
        const match = find()
        if (match === null) return
        stop()
        resolve(match)
      }
      const timer = setTimeout(() => fail(`did not print ${String(pattern)} within ${timeout} ms`), timeout)
      this.child.stdout?.on('data', look)
      this.child.stderr?.on('data', look)
      void this.done.then(() => {
        look()
        fail(`ended before it printed ${String(pattern)}`)
      })
      look()
    })
  }

  /** An error that shows the command and what it printed. */
  failure(what: string): TsnatError {
    const printed = [this.stdout, this.stderr].map((text) => text.trimEnd()).filter(Boolean).join('\n')
    return new TsnatError(`"${this.command}" ${what}${printed === '' ? '' : `:\n${printed.slice(-4000)}`}`, { code: 'LAB_PROCESS' })
  }

  /** Waits for the end, as {@link RunOptions} say. */
  async finish({ timeout = 60_000, check = false }: RunOptions = {}): Promise<RunResult> {
    let expired = false
    const timer = setTimeout(() => {
      expired = true
      this.kill()
    }, timeout)
    const result = await this.done
    clearTimeout(timer)
    if (expired) throw this.failure(`did not end within ${timeout} ms`)
    if (check && result.code !== 0) throw this.failure(`failed with ${result.code ?? result.signal}`)
    return result
  }
}
