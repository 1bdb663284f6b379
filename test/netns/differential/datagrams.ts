/** Puts fragments together, for comparing what receivers get with what was sent, whatever the pieces were. */
import * as ipv4 from '../../../src/stack/wire/ipv4.js'

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

export const isFragment = (bytes: Uint8Array): boolean => {
  const view = viewOf(bytes)
  return ipv4.moreFragments(view, 0) || ipv4.fragmentOffset(view, 0) > 0
}

const keyOf = (bytes: Uint8Array): string => {
  const view = viewOf(bytes)
  return [ipv4.source(view, 0), ipv4.destination(view, 0), ipv4.protocol(view, 0), ipv4.identification(view, 0)].join()
}

export interface Datagram {
  /** Indices of its pieces in the list given. */
  pieces: number[]
  /** Put together; undefined when something is missing or pieces contradict each other. */
  whole: Uint8Array | undefined
}

/** Datagrams out of packets. One that came whole is a datagram of one piece. */
export const datagramsOf = (packets: readonly Uint8Array[]): Datagram[] => {
  const groups = new Map<string, number[]>()
  const datagrams: Datagram[] = []
  for (const [i, packet] of packets.entries()) {
    if (!isFragment(packet)) datagrams.push({ pieces: [i], whole: packet })
    else groups.set(keyOf(packet), [...(groups.get(keyOf(packet)) ?? []), i])
  }
  for (const pieces of groups.values()) datagrams.push({ pieces, whole: join(pieces.map((i) => packets[i]!)) })
  return datagrams
}

const join = (pieces: readonly Uint8Array[]): Uint8Array | undefined => {
  const first = pieces.find((piece) => ipv4.fragmentOffset(viewOf(piece), 0) === 0)
  const last = pieces.find((piece) => !ipv4.moreFragments(viewOf(piece), 0))
  if (first === undefined || last === undefined) return undefined
  const header = ipv4.headerLength(viewOf(first), 0)
  const length = ipv4.fragmentOffset(viewOf(last), 0) + last.length - ipv4.headerLength(viewOf(last), 0)
  const payload = new Int16Array(length).fill(-1)
  for (const piece of pieces) {
    const view = viewOf(piece)
    const at = ipv4.fragmentOffset(view, 0)
    for (const [i, byte] of piece.subarray(ipv4.headerLength(view, 0)).entries()) {
      if (payload[at + i] !== -1 && payload[at + i] !== byte) return undefined
      payload[at + i] = byte
    }
  }
  if (payload.includes(-1)) return undefined
  const whole = Uint8Array.from([...first.subarray(0, header), ...payload])
  const view = viewOf(whole)
  view.setUint16(2, whole.length)
  view.setUint16(6, 0)
  ipv4.writeChecksum(view, 0)
  return whole
}
