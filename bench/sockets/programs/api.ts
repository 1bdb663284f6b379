/** What the programs need of sockets: Node's `net` has it, and so has the stack. */
import { connect, createServer } from 'node:net'
import type { Duplex } from 'node:stream'

export interface Socket extends Duplex {
  readonly bytesRead: number
  readonly remotePort?: number | undefined
}

export interface Sockets {
  connect(address: string, port: number): Socket
  /** Resolves when the port is open. */
  listen(port: number, accept: (socket: Socket) => void): Promise<void>
}

const BACKLOG = 4096

export const kernelSockets: Sockets = {
  connect: (address, port) => connect({ host: address, port, allowHalfOpen: true }),
  listen: (port, accept) => new Promise((resolve, reject) => {
    createServer({ allowHalfOpen: true }, accept).on('error', reject).listen(port, '0.0.0.0', BACKLOG, resolve)
  }),
}
