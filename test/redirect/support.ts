/**
 * What stands around a redirector in tests on loopback: sockets of the kernel, which know where a client "wanted to go" by a table, and a
 * SOCKS5 proxy, dante.
 *
 * Clients connect to `127.1.0.N:PORT`, where the redirector listens for all N; the table says which service that means.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createSocket, type Socket as Datagrams } from 'node:dgram'
import { EventEmitter, once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DatagramSocket, Endpoint, SocketApi, StreamSocket } from '../../src/redirect/sockets.js'

/** Resolves when `check` gives something true; looks every 10 ms. */
export const until = async <T>(check: () => T | Promise<T>, describe: () => unknown = () => '', milliseconds = 15_000): Promise<T> => {
  const deadline = performance.now() + milliseconds
  for (;;) {
    const found = await check()
    if (found) return found
    if (performance.now() > deadline) throw new Error(`not reached: ${JSON.stringify(describe())}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** A socket of the kernel that listens at several addresses, and says of each datagram where it was meant to go. */
class ManyAddresses extends EventEmitter {
  readonly #sockets = new Map<string, Datagrams>()
  readonly #api: KernelSockets
  readonly #last = new Map<string, Datagrams>()

  constructor(api: KernelSockets) {
    super()
    this.#api = api
  }

  bind(port: number): void {
    const addresses = [...this.#api.meant.keys()]
    let bound = 0
    for (const address of addresses) {
      const socket = createSocket('udp4')
      this.#sockets.set(address, socket)
      socket.on('error', (error) => this.emit('error', error))
      socket.on('message', (data, from) => {
        this.#last.set(`${from.address}:${from.port}`, socket)
        this.emit('message', data, { ...from, originalDestination: this.#api.meant.get(address) })
      })
      socket.bind(port, address, () => { if (++bound === addresses.length) this.emit('listening') })
    }
  }

  /** Answers as the flow of REDIRECT has it: from the address that was asked. */
  send(data: Uint8Array, port: number, address: string, done: (error: Error | null) => void): void {
    this.#last.get(`${address}:${port}`)!.send(data, port, address, done)
  }

  close(): void {
    for (const socket of this.#sockets.values()) socket.close()
  }
}

/** Sockets of the kernel in the place of the stack's. */
export class KernelSockets implements SocketApi {
  /** Which destination an address of the redirector stands for. */
  readonly meant = new Map<string, Endpoint>()
  /** Sockets of clients, and those to the proxy, that are open. */
  readonly streams = new Set<Socket>()
  /** Foreign endpoints that sockets were made for, in their order. */
  readonly foreign: string[] = []
  #isFirst = true

  connect(options: { host: string; port: number; allowHalfOpen: boolean }): StreamSocket {
    return this.#count(connect(options))
  }

  createServer(options: { allowHalfOpen: boolean }, onConnection: (socket: StreamSocket) => void): Server {
    return createServer({ allowHalfOpen: options.allowHalfOpen }, (socket) => {
      const originalDestination = this.meant.get(socket.localAddress!) ?? null
      onConnection(Object.assign(this.#count(socket), { originalDestination }) as StreamSocket)
    })
  }

  /** The first is that of the redirector. A transparent one binds to another port, as the service has the one that it asks for. */
  createDatagramSocket({ transparent = false }: { transparent?: boolean }): DatagramSocket {
    if (!transparent) return createSocket('udp4')
    if (this.#isFirst) {
      this.#isFirst = false
      return new ManyAddresses(this) as unknown as DatagramSocket
    }
    const socket = createSocket('udp4')
    const bind = socket.bind.bind(socket) as (port: number, address: string, done: () => void) => Datagrams
    const note = (port: number, address: string): void => { this.foreign.push(`${address}:${port}`) }
    return Object.assign(socket, { bind: (port: number, address: string, done: () => void) => (note(port, address), bind(port + 10_000, address, done)) })
  }

  #count(socket: Socket): Socket {
    this.streams.add(socket)
    return socket.once('close', () => this.streams.delete(socket))
  }
}

/** A port of loopback that nobody has. */
export const freePort = async (address = '127.0.0.1'): Promise<number> => {
  const server = createServer().listen(0, address)
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

/** Whether somebody listens. */
const isOpen = async (port: number): Promise<boolean> => {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

export class Danted {
  readonly port: number
  readonly #child: ChildProcess
  readonly #directory: string

  private constructor(port: number, child: ChildProcess, directory: string) {
    this.port = port
    this.#child = child
    this.#directory = directory
  }

  /** A proxy that lets everybody do everything. */
  static async start(): Promise<Danted> {
    const directory = mkdtempSync(join(tmpdir(), 'tsnat-danted-'))
    const port = await freePort()
    writeFileSync(join(directory, 'danted.conf'), [
      `logoutput: ${join(directory, 'log')}`, `internal: 127.0.0.1 port = ${port}`, 'external: 127.0.0.1', 'clientmethod: none', 'socksmethod: none',
      'user.privileged: root', 'user.unprivileged: nobody', 'client pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }', 'socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }', '',
    ].join('\n'))
    const child = spawn('danted', ['-f', join(directory, 'danted.conf'), '-p', join(directory, 'pid')], { stdio: 'ignore', detached: true })
    const made = new Danted(port, child, directory)
    await until(() => isOpen(port))
    return made
  }

  /** Ends it and all of its processes at once. */
  async kill(): Promise<void> {
    const ended = once(this.#child, 'exit')
    process.kill(-this.#child.pid!, 'SIGKILL')
    await ended
    await until(async () => !(await isOpen(this.port)))
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await this.kill()
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

/** A small proxy that knows one user. */
export class Microsocks {
  readonly port: number
  readonly #child: ChildProcess

  private constructor(port: number, child: ChildProcess) {
    this.port = port
    this.#child = child
  }

  static async start(user: string, password: string): Promise<Microsocks> {
    const port = await freePort()
    const made = new Microsocks(port, spawn('microsocks', ['-i', '127.0.0.1', '-p', String(port), '-u', user, '-P', password], { stdio: 'ignore' }))
    await until(() => isOpen(port))
    return made
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.kill()
    await ended
  }
}
