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
    readonly as: 'tell' | 'relay' | 'echo'; readonly asClient?: boolean
  }
  /** `digest` tells the length and hash of what it gets, `bytes` sends so many, `hold` does nothing. */
  | { readonly do: 'serve tcp'; readonly port: number; readonly host?: string; readonly as: 'digest' | 'bytes' | 'hold'; readonly bytes?: number }
  /** Sends so many bytes, and hears what is said of them. */
  | { readonly do: 'upload'; readonly host: string; readonly port: number; readonly bytes: number }
  /** Fetches until the other side ends. */
  | { readonly do: 'download'; readonly host: string; readonly port: number }
  /** Sockets that stay, under a name. */
  | { readonly do: 'open udp'; readonly name: string; readonly localPort?: number; readonly localAddress?: string; readonly host?: string; readonly port?: number }
  | { readonly do: 'send udp'; readonly name: string; readonly host?: string; readonly port?: number; readonly send?: string; readonly wait?: number }
  | { readonly do: 'open tcp'; readonly name: string; readonly host: string; readonly port: number }
  /** Waits for as much as it sends. */
  | { readonly do: 'say tcp'; readonly name: string; readonly send: string; readonly wait?: number }
  | { readonly do: 'measure' }

export interface SocketAnswer {
  /** `address:port` */
  readonly local?: string
  readonly seen?: string
  readonly from?: string
  readonly listening?: string
  readonly sent?: string
  readonly flows?: number
  /** Connections that `hold` has. */
  readonly held?: number
  /** Bytes of the heap and of buffers. */
  readonly memory?: number
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
    const started = bed.gateway.spawn(process.execPath, ['--expose-gc', PROGRAM, JSON.stringify({ log: { level: 'warn' }, ...config })], { env: bed.environment, interactive: true })
    const program = new SocketsProgram(started)
    await started.waitFor(/^ready$/m, 20_000)
    return program
  }

  /** @param milliseconds to wait for an answer */
  async ask(request: SocketRequest, milliseconds?: number): Promise<SocketAnswer> {
    const id = ++this.#serial
    this.process.write(`${JSON.stringify({ id, ...request })}\n`)
    return until(() => {
      this.#collect()
      return this.#answers.get(id)
    }, () => `${JSON.stringify(request)}: ${this.process.stderr}`, milliseconds) as Promise<SocketAnswer>
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
