/** A UDP socket as Node knows it: what dgram.Socket is. */
import type { Datagram, DatagramOptions } from '../datagram.js'
import type { UdpEndpoint } from '../udp/endpoint.js'
import { formatIpv4 } from '../../wire/address.js'
import { type AddressAndPort, addressOf, checkPort } from './addresses.js'
import { codedError, type DatagramAddress, DatagramSocket, type Sent } from './datagram-socket.js'
import type { SocketHost } from './host.js'

export interface UdpSocketOptions {
  type?: 'udp4'
  /** Several sockets may be bound to one port; broadcasts go to all, others to the newest. */
  reuseAddr?: boolean
  /** Several sockets may be bound to one port; senders are spread over them. */
  reusePort?: boolean
  /** May be bound to addresses of others, and gets what rules lead here. */
  transparent?: boolean
  /** The firewall mark of what is sent, uint32. */
  mark?: number
  /** The TOS byte of what is sent. */
  tos?: number
  ttl?: number
  /** Number of the interface to be bound to. */
  interface?: number
  /** Bytes of what may wait to be read, each datagram counted with 256 more. */
  recvBufferSize?: number
  signal?: AbortSignal
}

/** Where a datagram came from. */
export interface RemoteInfo extends DatagramAddress {
  readonly size: number
  /** Where it was sent to before rules led it here; null when that was this socket. */
  readonly originalDestination: AddressAndPort | null
}

export interface UdpBindOptions {
  port?: number
  /** Default: all addresses. */
  address?: string
}

type Data = Uint8Array | DataView | string
type Message = Data | readonly Data[]

const LOCALHOST = '127.0.0.1'

const bytesOf = (data: Data): Uint8Array =>
  typeof data === 'string' ? Buffer.from(data) : data instanceof Uint8Array ? data : new Uint8Array(data.buffer, data.byteOffset, data.byteLength)

const isList = (message: Message): message is readonly Data[] => Array.isArray(message)

export const datagramOptionsOf = (options: UdpSocketOptions): DatagramOptions => ({
  transparent: options.transparent ?? false, reusePort: options.reusePort ?? false, reuseAddress: options.reuseAddr ?? false,
  mark: options.mark ?? 0, tos: options.tos ?? 0, interface: options.interface ?? 0,
  ...(options.ttl === undefined ? {} : { ttl: options.ttl }), ...(options.recvBufferSize === undefined ? {} : { receiveBuffer: options.recvBufferSize }),
})

/**
 * Emits `message` (Buffer, RemoteInfo), `listening`, `connect`, `error`, `close`, and, what dgram.Socket does not, `path` when routes have
 * chosen the address of a connected socket. Addresses are IPv4 addresses, not names.
 */
export class UdpSocket extends DatagramSocket<UdpEndpoint> {
  constructor(host: SocketHost, options: UdpSocketOptions = {}, onMessage?: (data: Buffer, from: RemoteInfo) => void) {
    super(host, host.openUdp(datagramOptionsOf(options)), options.signal)
    if (onMessage !== undefined) this.on('message', onMessage)
  }

  /** `listening` follows, or `error`. @throws Error ERR_SOCKET_ALREADY_BOUND, and for values that cannot be */
  bind(options: UdpBindOptions, onListening?: () => void): this
  bind(port?: number, address?: string, onListening?: () => void): this
  bind(port: number, onListening?: () => void): this
  bind(onListening: () => void): this
  bind(...args: readonly unknown[]): this {
    this.assertOpen()
    this.assertUnbound()
    const onListening = args.find((arg) => typeof arg === 'function') as (() => void) | undefined
    const [first, second] = args
    const { port, address } =
      typeof first === 'object' && first !== null
        ? (first as UdpBindOptions)
        : { port: first as number | undefined, address: typeof second === 'string' ? second : undefined }
    const localPort = checkPort(typeof port === 'function' ? 0 : (port ?? 0))
    const localAddress = address === undefined || address === '' ? 0 : addressOf(address)
    if (onListening !== undefined) this.once('listening', onListening)
    this.attempt(() => this.endpoint.bind(localAddress, localPort), 'listening')
    return this
  }

  /** `connect` follows, or `error`. @throws Error ERR_SOCKET_DGRAM_IS_CONNECTED, and for values that cannot be */
  connect(port: number, address?: string, onConnect?: () => void): void
  connect(port: number, onConnect?: () => void): void
  connect(port: number, second?: string | (() => void), third?: () => void): void {
    this.assertOpen()
    if (this.endpoint.isConnected) throw codedError('Already connected', 'ERR_SOCKET_DGRAM_IS_CONNECTED')
    const onConnect = typeof second === 'function' ? second : third
    const remotePort = checkRemotePort(port)
    const remote = addressOf(typeof second === 'string' ? second : LOCALHOST)
    if (onConnect !== undefined) this.once('connect', onConnect)
    this.attempt(() => this.endpoint.connect(remote, remotePort), 'connect')
  }

  /** @throws Error ERR_SOCKET_DGRAM_NOT_CONNECTED */
  disconnect(): void {
    this.#assertConnected()
    this.endpoint.disconnect()
  }

  /** @throws Error ERR_SOCKET_DGRAM_NOT_CONNECTED */
  remoteAddress(): DatagramAddress {
    this.#assertConnected()
    return { address: formatIpv4(this.endpoint.remoteAddress), family: 'IPv4', port: this.endpoint.remotePort }
  }

  /**
   * Sends a datagram. Its bytes must not be changed until `done` is called.
   * @throws Error ERR_SOCKET_DGRAM_IS_CONNECTED (an end is given although it is connected), ERR_SOCKET_BAD_PORT
   */
  send(message: Message, port: number, address?: string, done?: Sent): void
  send(message: Message, port: number, done?: Sent): void
  send(message: Message, done?: Sent): void
  send(message: Data, offset: number, length: number, port: number, address?: string, done?: Sent): void
  send(message: Data, offset: number, length: number, port: number, done?: Sent): void
  send(message: Data, offset: number, length: number, done?: Sent): void
  send(message: Message, ...rest: readonly unknown[]): void {
    this.assertOpen()
    const args = rest.filter((arg) => arg !== undefined)
    const done = typeof args.at(-1) === 'function' ? (args.pop() as Sent) : undefined
    const { isConnected } = this.endpoint
    // Offset and length come first; without a remote end that is given, two numbers are all there is.
    const isSlice = !isList(message) && typeof args[0] === 'number' && typeof args[1] === 'number'
    const [offset, length] = isSlice ? (args.splice(0, 2) as number[]) : []
    const data = isList(message) ? Buffer.concat(message.map(bytesOf)) : slice(bytesOf(message), offset, length)
    if (isConnected && args.length > 0) throw codedError('Already connected', 'ERR_SOCKET_DGRAM_IS_CONNECTED')
    const port = isConnected ? this.endpoint.remotePort : checkRemotePort(args[0])
    const address = isConnected ? this.endpoint.remoteAddress : addressOf(typeof args[1] === 'string' && args[1] !== '' ? args[1] : LOCALHOST)
    this.dispatch(data.length, () => this.endpoint.send(data, address, port), done)
  }

  protected deliver({ data, address, port, originalDestination }: Datagram): void {
    const from: RemoteInfo = {
      address: formatIpv4(address), family: 'IPv4', port, size: data.length,
      originalDestination: originalDestination === null ? null : { address: formatIpv4(originalDestination.address), port: originalDestination.port },
    }
    this.emit('message', Buffer.from(data.buffer, data.byteOffset, data.length), from)
  }

  #assertConnected(): void {
    this.assertOpen()
    if (!this.endpoint.isConnected) throw codedError('Not connected', 'ERR_SOCKET_DGRAM_NOT_CONNECTED')
  }
}

const checkRemotePort = (port: unknown): number => {
  const number = checkPort(port)
  if (number !== 0) return number
  throw Object.assign(new RangeError('Port should be > 0 and < 65536. Received 0.'), { code: 'ERR_SOCKET_BAD_PORT' })
}

const slice = (bytes: Uint8Array, offset = 0, length = bytes.length - offset): Uint8Array => {
  if (offset < 0 || offset > bytes.length) throw Object.assign(new RangeError('"offset" is outside of buffer bounds'), { code: 'ERR_BUFFER_OUT_OF_BOUNDS' })
  if (length < 0 || offset + length > bytes.length) throw Object.assign(new RangeError('"length" is outside of buffer bounds'), { code: 'ERR_BUFFER_OUT_OF_BOUNDS' })
  return bytes.subarray(offset, offset + length)
}
