/** Sockets of a stack, as programs for Node expect them: what node:net and node:dgram offer, over a stack. */
import type { SocketHost } from './host.js'
import { TcpServer, type TcpServerOptions } from './tcp-server.js'
import { PingSocket, type PingSocketOptions } from './ping-socket.js'
import type { TcpConnectSocketOptions } from './tcp-options.js'
import { TcpSocket } from './tcp-socket.js'
import { type RemoteInfo, UdpSocket, type UdpSocketOptions } from './udp-socket.js'

export interface SocketApi {
  /** Like net.connect. May be used without its object: `agent.createConnection = api.connect`. */
  connect(this: void, options: TcpConnectSocketOptions, onConnect?: () => void): TcpSocket
  connect(this: void, port: number, host?: string, onConnect?: () => void): TcpSocket
  /** Like net.createServer. */
  createServer(this: void, options?: TcpServerOptions, onConnection?: (socket: TcpSocket) => void): TcpServer
  createServer(this: void, onConnection: (socket: TcpSocket) => void): TcpServer
  /** Like dgram.createSocket. */
  createDatagramSocket(this: void, options?: UdpSocketOptions | 'udp4', onMessage?: (data: Buffer, from: RemoteInfo) => void): UdpSocket
  /** A socket for ICMP echo. */
  createPingSocket(this: void, options?: PingSocketOptions): PingSocket
}

export const createSocketApi = (host: SocketHost): SocketApi => {
  const connect = (first: TcpConnectSocketOptions | number, second?: string | (() => void), third?: () => void): TcpSocket => {
    const options: TcpConnectSocketOptions = typeof first === 'object' ? first : { port: first, ...(typeof second === 'string' ? { host: second } : {}) }
    return new TcpSocket(host, options).connect(options, typeof second === 'function' ? second : third)
  }
  const createServer = (first?: TcpServerOptions | ((socket: TcpSocket) => void), second?: (socket: TcpSocket) => void): TcpServer =>
    typeof first === 'function' ? new TcpServer(host, {}, first) : new TcpServer(host, first, second)
  const createDatagramSocket = (options: UdpSocketOptions | 'udp4' = {}, onMessage?: (data: Buffer, from: RemoteInfo) => void): UdpSocket =>
    new UdpSocket(host, typeof options === 'string' ? {} : options, onMessage)
  const createPingSocket = (options?: PingSocketOptions): PingSocket => new PingSocket(host, options)
  return { connect, createServer, createDatagramSocket, createPingSocket }
}
