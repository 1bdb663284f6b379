/** What a TCP socket can be told when it is made or connected, and what that means for the stack. */
import { lookup as systemLookup } from 'node:dns'
import { parseIpv4 } from '../../wire/address.js'
import { socketError } from '../socket-error.js'
import { checkPort } from './addresses.js'
import type { TcpConnectOptions } from './host.js'

/** Asks for the IPv4 address of a name, as dns.lookup does. */
export type Lookup = (name: string, options: { family: 4 }, done: (error: NodeJS.ErrnoException | null, address: string, family: number) => void) => void

export interface TcpSocketOptions {
  /** The writing side stays open when the other side has ended. Default false. */
  allowHalfOpen?: boolean
  /** Bytes written are never changed afterwards: they need not be copied. Default false. */
  keepsWritten?: boolean
  noDelay?: boolean
  keepAlive?: boolean
  /** Milliseconds. */
  keepAliveInitialDelay?: number
  /** Milliseconds without a byte after which `timeout` is emitted. */
  timeout?: number
  signal?: AbortSignal
  readableHighWaterMark?: number
  writableHighWaterMark?: number
}

export interface TcpConnectSocketOptions extends TcpSocketOptions {
  port: number
  /** Default 127.0.0.1. */
  host?: string
  localAddress?: string
  localPort?: number
  /** For names; an address is taken as it is. Default: dns.lookup, thus the resolver of this host. */
  lookup?: Lookup
  /** `localAddress` need not be an own one. */
  transparent?: boolean
  /** The firewall mark of the packets. */
  mark?: number
  /** Their TOS byte. */
  tos?: number
  /** Number of the interface that they must leave by. */
  interface?: number
}

/** The host's address; of a name, as its lookup says. @param told what the lookup has answered, if there was one; false: nobody wants to know any more */
export const resolveHost = (
  { host = '127.0.0.1', port, lookup = systemLookup }: TcpConnectSocketOptions,
  told: (error: Error | null, text: string, family: number, host: string) => boolean,
  done: (error: Error | null, address: number) => void,
): void => {
  const known = parseIpv4(host)
  if (known !== null) return done(null, known)
  lookup(host, { family: 4 }, (error, text, family) => {
    if (!told(error, text, family, host)) return
    const address = error === null ? parseIpv4(text) : null
    if (address !== null) done(null, address)
    else done(error ?? Object.assign(socketError('ENOTFOUND', 'getaddrinfo', undefined, port), { hostname: host }), 0)
  })
}

/** The same for the stack. @throws RangeError ERR_SOCKET_BAD_PORT */
export const connectOptionsOf = (address: number, port: number, localAddress: number | undefined, options: TcpConnectSocketOptions): TcpConnectOptions => {
  const { localPort, transparent, mark, tos, interface: number } = options
  return {
    address, port,
    ...(localAddress === undefined ? {} : { localAddress }), ...(localPort === undefined ? {} : { localPort: checkPort(localPort) }),
    ...(transparent === undefined ? {} : { transparent }), ...(mark === undefined ? {} : { mark }),
    ...(tos === undefined ? {} : { tos }), ...(number === undefined ? {} : { interface: number }),
  }
}
