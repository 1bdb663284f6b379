/** An ICMP echo socket in the manner of dgram.Socket. */
import type { Datagram } from '../datagram.js'
import type { PingEndpoint } from '../icmp/ping.js'
import { formatIpv4 } from '../../wire/address.js'
import { addressOf } from './addresses.js'
import { codedError, DatagramSocket, type Sent } from './datagram-socket.js'
import type { SocketHost } from './host.js'
import { datagramOptionsOf, type UdpSocketOptions } from './udp-socket.js'

export type PingSocketOptions = Pick<UdpSocketOptions, 'transparent' | 'mark' | 'tos' | 'ttl' | 'interface' | 'recvBufferSize' | 'signal'>

/** Of an echo reply. */
export interface ReplyInfo {
  readonly address: string
  readonly family: 'IPv4'
  readonly sequence: number
  readonly ttl: number
  readonly size: number
}

/** What became of an echo request, as an ICMP error says. */
export interface FailureInfo {
  /** Whom it was sent to. */
  readonly address: string
  readonly sequence: number
  /** Who says so. */
  readonly from: string
  readonly type: number
  readonly code: number
}

const SEQUENCE_MAX = 0xffff

/**
 * Emits `reply` (Buffer, ReplyInfo), `failure` (Error, FailureInfo) for what did not arrive, `listening`, `connect`, `error`, `close`. Its
 * port is the identifier of its requests.
 */
export class PingSocket extends DatagramSocket<PingEndpoint> {
  #sequence = 0

  constructor(host: SocketHost, options: PingSocketOptions = {}) {
    super(host, host.openPing(datagramOptionsOf(options)), options.signal)
    this.endpoint.onFailure = (error, { address, from, sequence, type, code }) => {
      const info: FailureInfo = { address: formatIpv4(address), sequence, from: formatIpv4(from), type, code }
      process.nextTick(() => this.emit('failure', error, info))
    }
  }

  /** `listening` follows, or `error`. @param identifier 0 or none for a free one @throws Error ERR_SOCKET_ALREADY_BOUND */
  bind(identifier = 0, address = '0.0.0.0', onListening?: () => void): this {
    this.assertOpen()
    this.assertUnbound()
    if (!Number.isInteger(identifier) || identifier < 0 || identifier > SEQUENCE_MAX) throw new RangeError(`an identifier is 0 to 65535, not ${identifier}`)
    const local = addressOf(address)
    if (onListening !== undefined) this.once('listening', onListening)
    this.attempt(() => this.endpoint.bind(local, identifier), 'listening')
    return this
  }

  /** It hears this address alone from now on; `connect` follows, or `error`. */
  connect(address: string, onConnect?: () => void): void {
    this.assertOpen()
    if (this.endpoint.isConnected) throw codedError('Already connected', 'ERR_SOCKET_DGRAM_IS_CONNECTED')
    const remote = addressOf(address)
    if (onConnect !== undefined) this.once('connect', onConnect)
    this.attempt(() => this.endpoint.connect(remote, 0), 'connect')
  }

  /**
   * Sends an echo request, to the address that it is connected to when no other is given.
   * @returns its sequence number: those that are not given count up
   */
  send(data: Uint8Array | string, address?: string, options: { sequence?: number } = {}, done?: Sent): number {
    this.assertOpen()
    const bytes = typeof data === 'string' ? Buffer.from(data) : data
    if (address === undefined && !this.endpoint.isConnected) throw codedError('Not connected', 'ERR_SOCKET_DGRAM_NOT_CONNECTED')
    const to = address === undefined ? this.endpoint.remoteAddress : addressOf(address)
    const sequence = (options.sequence ?? this.#sequence + 1) & SEQUENCE_MAX
    this.#sequence = sequence
    this.dispatch(bytes.length, () => this.endpoint.send(bytes, sequence, to), done)
    return sequence
  }

  protected deliver({ data, address, port, ttl }: Datagram): void {
    const info: ReplyInfo = { address: formatIpv4(address), family: 'IPv4', sequence: port, ttl, size: data.length }
    this.emit('reply', Buffer.from(data.buffer, data.byteOffset, data.length), info)
  }
}
