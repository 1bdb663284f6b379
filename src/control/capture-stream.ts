/** Turns what the data plane copies into a capture ring into a pcapng byte stream. */
import { release } from 'node:os'
import { setTimeout } from 'node:timers/promises'
import type { CaptureRequest } from '../api/types.js'
import { ExitCode, TsnatError } from '../errors.js'
import { CaptureConsumer, DIRECTION_IN } from '../stack/device/capture-ring.js'
import { enhancedPacket, interfaceDescription, interfaceStatistics, LINKTYPE_IPV4, sectionHeader } from '../stack/wire/pcapng.js'
import { version } from '../version.js'

/** One capture at a time: the tap has one ring. */
export const alreadyCapturing = (): TsnatError =>
  new TsnatError('another capture is running on this gateway', {
    code: 'ALREADY_CAPTURING', hint: 'end it first, or use its file', exitCode: ExitCode.failure,
  })

/** Milliseconds between two looks at an empty ring. */
const PAUSE = 20
/** Bytes gathered before they are handed on. */
const CHUNK = 65536

export interface CaptureInterface {
  /** Number in the ring's records. */
  readonly side: number
  readonly name: string
  readonly description: string
}

/**
 * Reads the ring until the request's count is reached or `signal` aborts. Interfaces are numbered in the order given.
 * @param snapLength bytes kept of a packet, as the ring was made with
 */
export async function* captureStream(
  ring: SharedArrayBuffer, interfaces: readonly CaptureInterface[], request: CaptureRequest, snapLength: number, signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const consumer = new CaptureConsumer(ring)
  const numberOf = new Map(interfaces.map(({ side }, index) => [side, index]))
  const received = interfaces.map(() => 0)
  yield Buffer.concat([
    sectionHeader({ hardware: process.arch, os: `Linux ${release()}`, application: `tsnat ${version()}` }),
    ...interfaces.map(({ name, description }) => interfaceDescription({ name, description, linkType: LINKTYPE_IPV4, snapLength })),
  ])
  let left = request.count === 0 ? Infinity : request.count
  while (left > 0) {
    // Asked before the ring is emptied, so that what came until then is not lost.
    const last = signal.aborted
    let chunk: Uint8Array[] = []
    let size = 0
    for (let record = consumer.read(); record !== undefined; record = left > 0 ? consumer.read() : undefined) {
      const interfaceId = numberOf.get(record.side)
      if (interfaceId === undefined) continue
      received[interfaceId]!++
      const packet = enhancedPacket({
        interfaceId,
        timestamp: record.timestamp,
        originalLength: record.originalLength,
        bytes: record.bytes,
        direction: record.direction === DIRECTION_IN ? 'in' : 'out',
        dropped: record.missed,
      })
      chunk.push(packet)
      size += packet.length
      left--
      if (size >= CHUNK) {
        yield Buffer.concat(chunk)
        chunk = []
        size = 0
      }
    }
    if (size > 0) yield Buffer.concat(chunk)
    if (last) break
    if (left > 0) await setTimeout(PAUSE, undefined, { signal }).catch(() => {})
  }
  const timestamp = Date.now() * 1000
  yield Buffer.concat(interfaces.map(({ side }, interfaceId) => {
    const dropped = consumer.missed(side)
    return interfaceStatistics({ interfaceId, timestamp, received: received[interfaceId]! + dropped, dropped })
  }))
}
