/** What the programs need of sockets: Node's `net` has it, and so has the stack. */
import { connect, createServer } from 'node:net'
import type { Duplex } from 'node:stream'
import type { SocketApi } from '../../../src/stack/sockets/node/api.js'

export interface Sockets {
  connect(address: string, port: number): Duplex
  /** Resolves when the port is open. */
  listen(port: number, accept: (socket: Duplex) => void): Promise<void>
}

const BACKLOG = 4096

export const kernelSockets: Sockets = {
  connect: (host, port) => connect({ host, port, allowHalfOpen: true }),
  listen: (port, accept) => new Promise((resolve, reject) => {
    createServer({ allowHalfOpen: true }, accept).on('error', reject).listen(port, '0.0.0.0', BACKLOG, resolve)
  }),
}

/** Nothing here changes what it has written. */
export const stackSockets = ({ connect: open, createServer: create }: SocketApi): Sockets => ({
  connect: (host, port) => open({ host, port, allowHalfOpen: true, keepsWritten: true }),
  listen: (port, accept) => new Promise((resolve, reject) => {
    create({ allowHalfOpen: true, keepsWritten: true }, accept).on('error', reject).listen(port, '0.0.0.0', BACKLOG, resolve)
  }),
})
