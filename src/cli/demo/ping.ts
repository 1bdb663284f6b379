/** ICMP echo (RFC 792) over a raw socket, so that the demo needs no ping program. */
import { createRequire } from 'node:module'
import { randomBytes } from 'node:crypto'

/** The part of package raw-socket that is used here; it comes without types. */
interface RawSocket {
  on(event: 'message', listener: (packet: Buffer, source: string) => void): void
  on(event: 'error', listener: (error: Error) => void): void
  send(packet: Buffer, at: number, length: number, address: string, after: (error: Error | null) => void): void
  close(): void
}
interface RawSocketPackage {
  Protocol: { ICMP: number }
  createSocket(options: { protocol: number }): RawSocket
  createChecksum(...parts: Buffer[]): number
  writeChecksum(packet: Buffer, at: number, checksum: number): void
}

export interface PingResult {
  sent: number
  received: number
  /** Milliseconds. */
  shortest: number
  /** Time to live of the answers; null when none came. */
  ttl: number | null
}

const ECHO_REQUEST = 8
const PAYLOAD = 56

/** Sends `count` requests, one after the answer to the last, each waited for at most a second. */
export const ping = async (address: string, count: number): Promise<PingResult> => {
  const raw = createRequire(import.meta.url)('raw-socket') as RawSocketPackage
  const socket = raw.createSocket({ protocol: raw.Protocol.ICMP })
  const identifier = randomBytes(2)
  const result: PingResult = { sent: 0, received: 0, shortest: Infinity, ttl: null }
  let answered: (packet: Buffer) => void = () => {}
  socket.on('message', (packet) => answered(packet))
  try {
    for (let sequence = 1; sequence <= count; sequence++) {
      const request = Buffer.alloc(8 + PAYLOAD)
      request[0] = ECHO_REQUEST
      request.set(identifier, 4)
      request.writeUInt16BE(sequence, 6)
      randomBytes(PAYLOAD).copy(request, 8)
      raw.writeChecksum(request, 2, raw.createChecksum(request))
      const start = performance.now()
      const answer = await new Promise<Buffer | null>((resolve, reject) => {
        const timer = setTimeout(() => resolve(null), 1000)
        answered = (packet) => {
          const message = packet.subarray(((packet[0] as number) & 15) * 4)
          // Type 0 is the reply; identifier, sequence number and data come back as they were sent.
          if (message[0] !== 0 || !message.subarray(4).equals(request.subarray(4))) return
          clearTimeout(timer)
          resolve(packet)
        }
        socket.on('error', reject)
        socket.send(request, 0, request.length, address, (error) => {
          if (error !== null) reject(error)
        })
        result.sent++
      })
      if (answer === null) continue
      result.received++
      result.shortest = Math.min(result.shortest, performance.now() - start)
      result.ttl = answer[8] as number
    }
  } finally {
    socket.close()
  }
  return result
}
