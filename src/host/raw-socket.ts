/**
 * Package raw-socket, typed as far as it is used here, and sockets of it as the raw driver needs them.
 *
 * What one has to know of the package: it loads on the main thread only; each turn of the event loop it receives one packet
 * of a socket, or sends one, and receiving goes first, so that a socket that does both may never get to send; the buffer of
 * a 'message' is used again for the next one; errors carry the text of strerror(3) and nothing else.
 */
import { createRequire } from 'node:module'
import { ExitCode, TsnatError } from '../errors.js'

export interface RawSocket {
  /** A packet with its IPv4 header. The buffer is valid during the call only. */
  on(event: 'message', listener: (packet: Buffer, source: string) => void): void
  on(event: 'error', listener: (error: Error) => void): void
  /** Sends `length` bytes from `at`, which must not change before `after` was called. */
  send(packet: Buffer, at: number, length: number, address: string, after: (error: Error | null) => void): void
  pauseRecv(): void
  setOption(level: number, option: number, value: number): void
  setOption(level: number, option: number, value: Buffer, length: number): void
  close(): void
}

interface RawSocketPackage {
  createSocket(options: { protocol: number; bufferSize: number }): RawSocket
}

// Numbers of <asm-generic/socket.h> and <linux/in.h>. The package knows some of them by name only.
const SOL_SOCKET = 1
const SO_SNDBUFFORCE = 32
const SO_RCVBUFFORCE = 33
const SO_BINDTODEVICE = 25
const SO_MARK = 36
const IPPROTO_IP = 0
const IP_MTU_DISCOVER = 10
/** Path MTUs are neither learnt from ICMP errors that this socket is told of, nor applied to what it sends. */
const IP_PMTUDISC_INTERFACE = 4
/** A packet of this protocol comes with its own IP header, and none is ever received (raw(7)). */
export const PROTOCOL_RAW = 255

/** The largest IPv4 datagram, and one byte more to tell those that are larger (BIG TCP). */
const BUFFER_SIZE = 65536

const load = (): RawSocketPackage => {
  try {
    return createRequire(import.meta.url)('raw-socket') as RawSocketPackage
  } catch (cause) {
    throw new TsnatError('package raw-socket cannot be loaded', {
      code: 'RAW_SOCKET_MISSING',
      hint: 'its native part is built at installation: run "npm rebuild raw-socket", or leave out --wan-driver raw',
      exitCode: ExitCode.device,
      cause,
    })
  }
}

export interface RawSocketOptions {
  /** IPPROTO_*, or {@link PROTOCOL_RAW}. */
  readonly protocol: number
  /** Interface that packets come from and go to. */
  readonly device: string
  /** SO_MARK of what is sent. */
  readonly mark: number
  /** SO_RCVBUF and SO_SNDBUF. */
  readonly bufferBytes: number
}

/** Binds a socket to a device, by its present index. @throws Error when there is none of that name */
export const bindToDevice = (socket: RawSocket, device: string): void => {
  const name = Buffer.from(`${device}\0`)
  socket.setOption(SOL_SOCKET, SO_BINDTODEVICE, name, name.length)
}

const configure = (socket: RawSocket, { device, mark, bufferBytes, protocol }: RawSocketOptions): void => {
  if (protocol === PROTOCOL_RAW) socket.pauseRecv()
  bindToDevice(socket, device)
  socket.setOption(SOL_SOCKET, SO_MARK, mark)
  socket.setOption(SOL_SOCKET, SO_RCVBUFFORCE, bufferBytes)
  socket.setOption(SOL_SOCKET, SO_SNDBUFFORCE, bufferBytes)
  socket.setOption(IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_INTERFACE)
}

/**
 * Opens a raw socket in the calling thread's network namespace.
 * @throws TsnatError RAW_SOCKET_MISSING, RAW_SOCKET_PERMISSION, RAW_SOCKET
 */
export const openRawSocket = (options: RawSocketOptions): RawSocket => {
  const { createSocket } = load()
  let socket: RawSocket | undefined
  try {
    socket = createSocket({ protocol: options.protocol, bufferSize: BUFFER_SIZE })
    configure(socket, options)
    return socket
  } catch (cause) {
    socket?.close()
    const reason = cause instanceof Error ? cause.message : String(cause)
    const denied = reason === 'Operation not permitted'
    throw new TsnatError(`cannot open a raw socket on ${options.device}: ${reason}`, {
      code: denied ? 'RAW_SOCKET_PERMISSION' : 'RAW_SOCKET',
      hint: denied ? 'it needs CAP_NET_RAW and CAP_NET_ADMIN: run as root' : 'leave out --wan-driver raw to use a packet socket instead',
      exitCode: denied ? ExitCode.permission : ExitCode.device,
      cause,
    })
  }
}
