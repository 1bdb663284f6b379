/**
 * The upstream: a SOCKS5 proxy (RFC 1928; user and password by RFC 1929), and the way to it.
 *
 * The handshake is package `socks`' on a socket that is dialled here, so that it can be one of the stack's own. What came right behind the
 * proxy's answer, that package hands over a turn of the event loop later, as an event `data`, and lets the socket flow then. The end of
 * the stream may overtake it. So that turn is waited for here, and what came meanwhile is told as `head`.
 */
import { lookup } from 'node:dns/promises'
import { setImmediate } from 'node:timers/promises'
import { SocksClient } from 'socks'
import { ExitCode, TsnatError } from '../errors.js'
import { parseIpv4 } from '../stack/wire/address.js'
import { isOfThisHost, kernelDialer } from './kernel-sockets.js'
import type { Dialer, Endpoint, StreamSocket } from './sockets.js'

export interface UpstreamAddress {
  /** IPv4 address, or a name. */
  readonly host: string
  readonly port: number
  readonly user: string | null
  readonly password: string
}

const USUAL_PORT = 1080
/** Bytes of a user name or password: RFC 1929 2 has one byte for the length. */
const CREDENTIAL_MAX = 255

const decoded = (text: string): string | null => {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}

const isCredential = (text: string | null): text is string => text !== null && Buffer.byteLength(text) <= CREDENTIAL_MAX

/** Reads `socks5://[user:password@]host[:port]`; null when it is no such thing. */
export const parseUpstream = (text: string): UpstreamAddress | null => {
  const [, name, secret, host, port = String(USUAL_PORT)] = /^socks5h?:\/\/(?:([^:@/]+)(?::([^@/]*))?@)?([\w.-]+)(?::(\d{1,5}))?\/?$/i.exec(text) ?? []
  if (host === undefined || Number(port) < 1 || Number(port) > 65535) return null
  if (/^[\d.]+$/.test(host) && parseIpv4(host) === null) return null
  const user = decoded(name ?? '')
  const password = decoded(secret ?? '')
  if (!isCredential(user) || !isCredential(password)) return null
  return { host, port: Number(port), user: user === '' ? null : user, password }
}

/** As it may be shown: without the password. */
export const upstreamText = ({ host, port, user }: UpstreamAddress): string => `socks5://${user === null ? '' : `${encodeURIComponent(user)}@`}${host}:${port}`

/** @throws TsnatError UPSTREAM_NAME when the host's resolver does not know it */
export const resolveUpstream = async (host: string): Promise<string> => {
  if (parseIpv4(host) !== null) return host
  try {
    return (await lookup(host, { family: 4 })).address
  } catch (cause) {
    throw new TsnatError(`the upstream "${host}" has no IPv4 address: ${(cause as NodeJS.ErrnoException).code ?? String(cause)}`, {
      code: 'UPSTREAM_NAME', hint: 'give its address: socks5://192.0.2.1:1080', exitCode: ExitCode.config, cause,
    })
  }
}

export interface Session {
  /** Paused. It may have ended already, or been destroyed. */
  readonly socket: StreamSocket
  /** What came first. */
  readonly head: Buffer
  /** Of an association: where its datagrams go. */
  readonly relay: Endpoint
}

export interface UpstreamOptions {
  readonly address: UpstreamAddress
  /** The IPv4 address of it. */
  readonly ip: string
  /** The stack's sockets; not used for an upstream of this host. */
  readonly dialer: Dialer
  /** Milliseconds for the connection and the handshake together. */
  readonly timeout: number
  /** Whether the upstream is on this host, where only the kernel's sockets reach it. */
  readonly isLocal?: boolean
}

const ignore = (): void => {}

export class Upstream {
  readonly dialer: Dialer
  readonly #options: UpstreamOptions

  constructor(options: UpstreamOptions) {
    this.#options = options
    this.dialer = options.isLocal ?? isOfThisHost(options.ip) ? kernelDialer : options.dialer
  }

  /**
   * Connects to the proxy and asks for a connection to `destination`, or for a UDP association.
   * @param onSocket gets the socket at once; destroying it ends the attempt
   * @throws Error of the socket, or that the proxy refuses, or that the time is over; the socket is gone then
   */
  async dial(command: 'connect' | 'associate', destination: Endpoint, onSocket: (socket: StreamSocket) => void): Promise<Session> {
    const { address, ip, timeout } = this.#options
    const socket = this.dialer.connect({ host: ip, port: address.port, allowHalfOpen: true })
    socket.on('error', ignore)
    onSocket(socket)
    const limit = setTimeout(() => socket.destroy(new Error('the upstream did not answer in time')), timeout)
    try {
      await connected(socket)
      socket.setNoDelay(true)
      const relay = await this.#negotiate(socket, command, destination)
      const head: Buffer[] = []
      const keep = (bytes: Buffer): void => { head.push(bytes) }
      socket.on('data', keep)
      await setImmediate()
      socket.off('data', keep).pause()
      return { socket, relay, head: Buffer.concat(head) }
    } catch (error) {
      socket.destroy()
      throw error
    } finally {
      clearTimeout(limit)
    }
  }

  #negotiate(socket: StreamSocket, command: 'connect' | 'associate', { address: host, port }: Endpoint): Promise<Endpoint> {
    const { address, ip, timeout } = this.#options
    return new Promise((resolve, reject) => {
      const client = new SocksClient({
        command,
        destination: { host, port },
        existing_socket: socket,
        timeout,
        proxy: { ipaddress: ip, port: address.port, type: 5, ...(address.user === null ? {} : { userId: address.user, password: address.password }) },
      })
      const hangUp = (): void => { socket.destroy(new Error('the upstream hung up')) }
      socket.once('end', hangUp)
      client.once('established', ({ remoteHost }) => {
        socket.off('end', hangUp)
        resolve({ address: remoteHost?.host ?? ip, port: remoteHost?.port ?? 0 })
      })
      client.once('error', reject)
      client.connect(socket)
    })
  }
}

const connected = (socket: StreamSocket): Promise<void> =>
  new Promise((resolve, reject) => {
    const done = (): void => {
      socket.off('connect', succeed).off('error', fail).off('close', close)
    }
    const succeed = (): void => {
      done()
      resolve()
    }
    const fail = (error: Error): void => {
      done()
      reject(error)
    }
    const close = (): void => fail(new Error('the connection to the upstream was given up'))
    socket.on('connect', succeed).on('error', fail).on('close', close)
  })
