/** The gateway as a program that takes tsnat as a library: what its sockets do on request. */
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { LabProcess } from '../../../src/testing/lab/index.js'
import { until } from '../gateway-support.js'
import type { Scenario } from './support.js'

const PROGRAM = join(dirname(fileURLToPath(import.meta.url)), 'sockets-program.mjs')

export type SocketRequest =
  | { readonly do: 'tcp'; readonly host: string; readonly port: number; readonly localAddress?: string; readonly localPort?: number; readonly send?: string; readonly wait?: number }
  | {
    readonly do: 'udp'; readonly host: string; readonly port: number; readonly localAddress?: string; readonly localPort?: number
    readonly connected?: boolean; readonly send?: string; readonly wait?: number
  }
  | { readonly do: 'ping'; readonly host: string; readonly wait?: number }
  /** `tell` answers who came and where it wanted to go, `relay` passes on to there, `asClient` in the client's name. */
  | {
    readonly do: 'serve tcp' | 'serve udp'; readonly port: number; readonly host?: string; readonly transparent?: boolean
    readonly as: 'tell' | 'relay'; readonly asClient?: boolean
  }

export interface SocketAnswer {
  /** `address:port` */
  readonly local?: string
  readonly seen?: string
  readonly from?: string
  readonly listening?: string
  readonly error?: string
}

export class SocketsProgram {
  readonly process: LabProcess
  readonly #answers = new Map<number, SocketAnswer>()
  #serial = 0
  #read = 0

  private constructor(process: LabProcess) {
    this.process = process
  }

  /** @param config as of tsnat.yaml */
  static async start(bed: Scenario, config: object): Promise<SocketsProgram> {
    const started = bed.gateway.spawn(process.execPath, [PROGRAM, JSON.stringify({ log: { level: 'warn' }, ...config })], { env: bed.environment, interactive: true })
    const program = new SocketsProgram(started)
    await started.waitFor(/^ready$/m, 20_000)
    return program
  }

  async ask(request: SocketRequest): Promise<SocketAnswer> {
    const id = ++this.#serial
    this.process.write(`${JSON.stringify({ id, ...request })}\n`)
    return until(() => {
      this.#collect()
      return this.#answers.get(id)
    }, () => `${JSON.stringify(request)}: ${this.process.stderr}`) as Promise<SocketAnswer>
  }

  #collect(): void {
    const { stdout } = this.process
    const end = stdout.lastIndexOf('\n') + 1
    for (const line of stdout.slice(this.#read, end).split('\n').filter((text) => text.startsWith('{'))) {
      const { id, ...answer } = JSON.parse(line) as SocketAnswer & { id: number }
      this.#answers.set(id, answer)
    }
    this.#read = end
  }
}
