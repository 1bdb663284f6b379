/**
 * The slab and the batches: how packets are held while they pass.
 *
 * One worker owns one slab, a single ArrayBuffer with a single DataView over it. A packet is an integer: the address of
 * its IPv4 header in the slab. A batch is two columns, addresses and lengths; nothing is copied between receive and send,
 * and nothing is allocated for a packet.
 *
 * Around each packet the slab looks like this, whatever device it came from:
 *
 *     at-24       at-14              at-10            at                    at+length
 *       │ (vnet for Ethernet) │ Ethernet …  │ vnet header │ IPv4 header, payload … │
 *
 * The canonical form has the 10-byte virtio header at `at - 10`, with csum_start and hdr_len counted from the IPv4 header.
 * A device converts on its way in and out; everything between devices sees the canonical form only.
 */

/** Bytes kept free before each IPv4 header, for virtio and link headers. */
export const HEADROOM = 64
/** The largest IPv4 datagram, thus also the largest superpacket. */
export const PACKET_MAX = 65535

export interface Slab {
  readonly bytes: Uint8Array
  readonly view: DataView
}

export const createSlab = (size: number): Slab => {
  const bytes = new Uint8Array(size)
  return { bytes, view: new DataView(bytes.buffer) }
}

/**
 * Packets in the slab, in order. `at[i]` is the address of the IPv4 header, `length[i]` counts from there, `link[i]` is the
 * index of the neighbour it is to be sent to (see {@link LinkAddresses} in device.ts), 0 on links without addresses.
 */
export class Batch {
  readonly at: Int32Array
  readonly length: Int32Array
  readonly link: Int32Array
  readonly capacity: number
  /** Packets that a receive may put in, 1 to capacity. */
  limit: number
  count = 0

  constructor(capacity: number) {
    this.capacity = capacity
    this.limit = capacity
    this.at = new Int32Array(capacity)
    this.length = new Int32Array(capacity)
    this.link = new Int32Array(capacity)
  }

  get full(): boolean {
    return this.count === this.capacity
  }

  push(at: number, length: number, link: number): void {
    this.at[this.count] = at
    this.length[this.count] = length
    this.link[this.count] = link
    this.count++
  }

  clear(): void {
    this.count = 0
  }

  /**
   * Fits the limit to what a receive brought. A lone packet is sent on before the next is asked for, which would cost a
   * system call and delay it; where there are more, as many as there are.
   */
  adapt(): void {
    this.limit = this.count === 1 && this.limit > 1 ? 1 : this.capacity
  }
}

/** A range of the slab, [start, end). */
export interface Region {
  readonly start: number
  readonly end: number
}
