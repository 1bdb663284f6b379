/** Packets written by hand, byte by byte, so that nothing of src/ vouches for itself here. */

/** One's-complement sum of big-endian words, as RFC 1071 section 4.1 spells it out. */
export const naiveSum = (bytes: Uint8Array, initial = 0): number => {
  let sum = initial
  for (let i = 0; i < bytes.length; i += 2) {
    sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0)
    if (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  }
  return (sum & 0xffff) + (sum >>> 16)
}

const headerOf = (protocol: number, from: readonly number[], to: readonly number[], length: number): Buffer => {
  const header = Buffer.from([0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, protocol, 0, 0, ...from, ...to])
  header.writeUInt16BE(length, 2)
  header.writeUInt16BE(~naiveSum(header) & 0xffff, 10)
  return header
}

const pseudoHeaderSum = (protocol: number, from: readonly number[], to: readonly number[], length: number): number =>
  naiveSum(Buffer.from([...from, ...to, 0, protocol, length >> 8, length & 0xff]))

export interface Ends {
  from: readonly number[]
  to: readonly number[]
  fromPort: number
  toPort: number
}

/** An IPv4 UDP datagram. `partial` leaves the sum of the pseudo-header in the checksum field, for NEEDS_CSUM. */
export const udp = ({ from, to, fromPort, toPort }: Ends, payload: Uint8Array, partial = false): Buffer => {
  const segment = Buffer.concat([Buffer.alloc(8), payload])
  segment.writeUInt16BE(fromPort, 0)
  segment.writeUInt16BE(toPort, 2)
  segment.writeUInt16BE(segment.length, 4)
  const pseudo = pseudoHeaderSum(17, from, to, segment.length)
  segment.writeUInt16BE(partial ? pseudo : ~naiveSum(segment, pseudo) & 0xffff, 6)
  return Buffer.concat([headerOf(17, from, to, 20 + segment.length), segment])
}

/** An IPv4 TCP segment with 20 bytes of header, ACK set, and its checksum left to the device (NEEDS_CSUM). */
export const tcp = ({ from, to, fromPort, toPort }: Ends, payload: Uint8Array): Buffer => {
  const segment = Buffer.concat([Buffer.from([0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]), payload])
  segment.writeUInt16BE(fromPort, 0)
  segment.writeUInt16BE(toPort, 2)
  segment.writeUInt16BE(pseudoHeaderSum(6, from, to, segment.length), 16)
  return Buffer.concat([headerOf(6, from, to, 20 + segment.length), segment])
}

export const NEEDS_CSUM = 1
export const GSO_NONE = 0
export const GSO_TCPV4 = 1
export const GSO_UDP_L4 = 5

/** struct virtio_net_hdr in the machine's byte order (tests run on little-endian machines). */
export const vnet = (flags: number, gsoType: number, headerLength: number, gsoSize: number, sumStart: number, sumOffset: number): Buffer => {
  const header = Buffer.alloc(10)
  header[0] = flags
  header[1] = gsoType
  header.writeUInt16LE(headerLength, 2)
  header.writeUInt16LE(gsoSize, 4)
  header.writeUInt16LE(sumStart, 6)
  header.writeUInt16LE(sumOffset, 8)
  return header
}

/** A slab with columns, and short words for filling and reading them. */
export const createBench = (size: number, capacity = 256) => {
  const slab = new Uint8Array(size)
  const at = new Int32Array(capacity)
  const length = new Int32Array(capacity)
  return {
    slab,
    at,
    length,
    result: new Int32Array(3),
    /** Puts `before` and then the packet at slot `index`, every 2 KiB or `stride`. */
    put: (index: number, before: Uint8Array, packet: Uint8Array, stride = 2048): void => {
      const address = 64 + index * stride
      slab.set(before, address - before.length)
      slab.set(packet, address)
      at[index] = address
      length[index] = packet.length
    },
    packet: (index: number): Buffer => Buffer.from(slab.buffer, at[index]!, length[index]!),
    ahead: (index: number, bytes: number): Buffer => Buffer.from(slab.buffer, at[index]! - bytes, bytes),
  }
}
