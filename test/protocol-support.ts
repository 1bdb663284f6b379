/** Packets of rarer protocols, and what becomes of them in a gateway. */
import { expect } from 'vitest'
import { formatConntrack } from '../src/api/conntrack.js'
import { readFlows } from '../src/control/flow-reader.js'
import { PROFILES } from '../src/nat/profiles.js'
import { timeoutColumn } from '../src/nat/timeouts.js'
import * as sctp from '../src/stack/wire/sctp.js'
import { checkPacket } from '../src/testing/check-packet.js'
import { MemoryGateway } from '../src/testing/memory-gateway.js'
import { buildSctp, type SctpChunk, type SctpOptions } from '../src/testing/packets.js'
import { A, bytesOf, E, only, P } from './stack/support.js'

export const LITE = { source: A, destination: P, sourcePort: 5000, destinationPort: 53 }
export const LITE_BACK = { source: P, destination: E, sourcePort: 53, destinationPort: 5000 }
export const SCTP = { source: A, destination: P, sourcePort: 5000, destinationPort: 80 }
export const SCTP_BACK = { source: P, destination: E, sourcePort: 80, destinationPort: 5000 }
/** INIT and INIT ACK begin with the tag that their sender wants to see. */
export const initValue = (tag: number): Uint8Array => Uint8Array.of(0, 0, 0, tag, ...bytesOf(12))
export const INIT: SctpChunk[] = [{ type: sctp.INIT, value: initValue(77) }]
export const INIT_ACK: SctpChunk[] = [{ type: sctp.INIT_ACK, value: initValue(99) }]
export const init = (options: Partial<SctpOptions> = {}): Uint8Array => buildSctp({ ...SCTP, chunks: INIT, ...options })
export const chunk = (type: number, length = 8): SctpChunk[] => [{ type, value: bytesOf(length) }]

export const sent = (gateway: MemoryGateway): Uint8Array => {
  const bytes = only(gateway.toWan())
  expect(checkPacket(bytes)).toEqual([])
  return bytes
}
export const delivered = (gateway: MemoryGateway): Uint8Array => {
  const bytes = only(gateway.toLan())
  expect(checkPacket(bytes)).toEqual([])
  return bytes
}
/** Flows as conntrack prints them. */
export const lines = (gateway: MemoryGateway, timeouts = PROFILES.behave.timeouts): string[] =>
  [...readFlows(gateway.plane.table.columns, timeoutColumn(timeouts), {})].map(({ record }) => formatConntrack(record))

/** Whether a packet of P still reaches the inside `seconds` after the last packet. */
export const livesFor = (gateway: MemoryGateway, back: Uint8Array, seconds: number): boolean => {
  gateway.advance(seconds)
  gateway.fromWan(back)
  return gateway.toLan().length === 1
}
