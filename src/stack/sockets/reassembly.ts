/**
 * Datagrams for this host that came in fragments are put together again (RFC 791 3.2, RFC 815).
 *
 * Theory of operation
 *
 * A datagram is known by source, destination, protocol, ID and the interface it comes in by. Fragments are copied as they come, in any
 * order; which bytes have been seen is known to the unit of 8 bytes. When all have, the datagram is put together in a buffer that is used
 * again for the next one. A fragment of which all has been seen is a duplicate and only dropped. One of which a part has been seen, or
 * that does not agree with the others where the datagram ends, ends the datagram: what is held of it is let go, and what comes of it until
 * its deadline is dropped (RFC 5722 4, which is for IPv6, and Linux for both).
 *
 * The deadline is fixed when the first of its fragments comes. If the one with offset 0 has come by then, its sender is told (RFC 792,
 * 11/1). A busy sender uses an ID again before that (RFC 4963): a first fragment that comes again after REUSE ms begins another datagram.
 *
 * Limits, on bytes held and on datagrams. One source may have what is free, but always a fair part; beyond that its own oldest datagram
 * gives way. When many sources have taken all, the oldest of all gives way. Sources are told apart by a keyed hash.
 *
 * Cost: two copies of the bytes, one object a fragment; what is kept for a datagram is used again.
 */
import { AgeLists } from '../age-lists.js'
import { createSlab, HEADROOM, PACKET_MAX, type Slab } from '../batch.js'
import { FIRST_FRAGMENT, type Packet } from '../parse.js'
import { SEEN, SeenUnits, UNSEEN } from '../seen-units.js'
import * as ipv4 from '../wire/ipv4.js'
import * as vnet from '../wire/vnet.js'
import { type Arrival, NO_SOCKET } from './network.js'
import type { PortHash } from './ports.js'

/** Milliseconds that a datagram may take, as in Linux (RFC 1122 3.3.2 has 60 s and more). */
export const REASSEMBLY_TIME = 30_000
/** Milliseconds within which a first fragment that comes again is a duplicate. */
export const REUSE = 2000
/** Datagrams of which fragments are held, at most. */
export const DATAGRAMS = 512
/** Bytes held at most, fragments counted with FRAGMENT_COST. */
export const BYTES = 4 << 20

const FAIR_DATAGRAMS = 16
const FAIR_BYTES = 2 * (PACKET_MAX + 1)
/** What a fragment takes beside its bytes. */
const FRAGMENT_COST = 128
const BUCKETS = 1024
const SHARES = 1024
const NONE = -1
/** Where the payload is put together: any header fits before it. */
const PAYLOAD_AT = 2 * HEADROOM
/** Bytes of a first fragment that are kept for the error: any header and the 8 bytes that RFC 792 asks for, and more. */
const QUOTE = 128

class Datagram {
  readonly at: number
  bucket = 0
  next = NONE
  share = 0
  source = 0
  destination = 0
  /** ID << 16 | protocol. */
  identity = 0
  interface = 0
  deadline = 0
  /** It contradicts itself. */
  isBad = false
  /** Payload bytes of the whole, -1 until the last fragment came. */
  total = NONE
  received = 0
  reach = 0
  cost = 0
  /** Header and beginning of the fragment with offset 0. */
  first: Uint8Array | null = null
  readonly offsets: number[] = []
  readonly pieces: Uint8Array[] = []
  readonly arrival: Arrival = { socket: NO_SOCKET, originalAddress: 0, originalPort: NONE, interface: 0, mark: 0 }

  constructor(at: number) {
    this.at = at
  }
}

const copyArrival = (to: Arrival, from: Arrival): void => {
  to.socket = from.socket
  to.originalAddress = from.originalAddress
  to.originalPort = from.originalPort
  to.interface = from.interface
  to.mark = from.mark
}

export class Reassembly {
  readonly #hash: PortHash
  readonly #datagrams: Datagram[] = []
  readonly #free: number[] = []
  readonly #buckets = new Int32Array(BUCKETS).fill(NONE)
  readonly #units = new SeenUnits(DATAGRAMS)
  readonly #age = new AgeLists(1, DATAGRAMS)
  readonly #shares = new AgeLists(SHARES, DATAGRAMS)
  readonly #shareBytes = new Int32Array(SHARES)
  #bytes = 0
  /** Where the datagram is after `add` has returned its length, until the next call. */
  readonly slab: Slab = createSlab(PAYLOAD_AT + PACKET_MAX + HEADROOM)
  /** Address of its header in `slab`. */
  at = PAYLOAD_AT
  /** What is known of its first fragment beyond its bytes. */
  readonly arrival: Arrival = { socket: NO_SOCKET, originalAddress: 0, originalPort: NONE, interface: 0, mark: 0 }
  readonly counters = { reassembled: 0, expired: 0, duplicates: 0, overlaps: 0, displaced: 0, tooLong: 0 }
  /** Told of a datagram whose time is over although its first fragment has come: that begins at `at`, `length` bytes of it are there. */
  onExpired: (slab: Slab, at: number, length: number) => void = () => {}

  /** @param hash keyed, against chosen collisions */
  constructor(hash: PortHash) {
    this.#hash = hash
  }

  /** Datagrams of which fragments are held. */
  get count(): number {
    return this.#age.count(0)
  }

  /** Bytes held, with what they cost beside. */
  get bytes(): number {
    return this.#bytes
  }

  /** When `expire` is to be called next, in milliseconds; Infinity when nothing is held. */
  get next(): number {
    const oldest = this.#age.oldest(0)
    return oldest === NONE ? Infinity : this.#datagrams[oldest]!.deadline
  }

  /**
   * Takes a fragment, as `parse` has accepted it. Returns the length of the whole datagram when it was the last that was missing, else 0.
   * The whole has to be parsed again.
   */
  add(slab: Slab, packet: Packet, arrival: Arrival, now: number): number {
    const datagram = this.#find(slab.view, packet, arrival.interface, now)
    if (datagram.isBad || !this.#place(slab, packet, datagram)) return 0
    if (packet.fragment === FIRST_FRAGMENT) {
      datagram.first = slab.bytes.slice(packet.at, packet.at + Math.min(packet.length, QUOTE))
      copyArrival(datagram.arrival, arrival)
    }
    if (datagram.received === datagram.total) return this.#complete(datagram)
    this.#makeRoom(datagram)
    return 0
  }

  /** Lets go of what is overdue. */
  expire(now: number): void {
    for (let oldest = this.#age.oldest(0); oldest !== NONE && this.#datagrams[oldest]!.deadline <= now; oldest = this.#age.oldest(0)) {
      const datagram = this.#datagrams[oldest]!
      const { first } = datagram
      if (!datagram.isBad) this.counters.expired++
      this.#end(datagram)
      if (first === null) continue
      this.slab.bytes.set(first, PAYLOAD_AT)
      this.onExpired(this.slab, PAYLOAD_AT, first.length)
    }
  }

  #find(view: DataView, { at, source, destination, protocol, fragment }: Packet, iface: number, now: number): Datagram {
    const identity = (ipv4.identification(view, at) << 16) | protocol
    const bucket = this.#hash.of(source, destination, identity, iface) & (BUCKETS - 1)
    for (let index = this.#buckets[bucket]!; index !== NONE; index = this.#datagrams[index]!.next) {
      const datagram = this.#datagrams[index]!
      if (datagram.identity !== identity || datagram.source !== source || datagram.destination !== destination || datagram.interface !== iface) continue
      const isReused = fragment === FIRST_FRAGMENT && datagram.first !== null && now - (datagram.deadline - REASSEMBLY_TIME) > REUSE
      if (!isReused) return datagram
      this.#end(datagram)
      break
    }
    return this.#open(bucket, source, destination, identity, iface, now)
  }

  #open(bucket: number, source: number, destination: number, identity: number, iface: number, now: number): Datagram {
    const share = this.#hash.of(source, iface, 0, 0) & (SHARES - 1)
    const room = DATAGRAMS - this.count
    if (this.#shares.count(share) >= Math.max(room, FAIR_DATAGRAMS)) this.#displace(this.#shares.oldest(share))
    else if (room === 0) this.#displace(this.#age.oldest(0))
    const at = this.#free.pop() ?? this.#datagrams.length
    const datagram = (this.#datagrams[at] ??= new Datagram(at))
    datagram.bucket = bucket
    datagram.next = this.#buckets[bucket]!
    this.#buckets[bucket] = at
    datagram.share = share
    datagram.source = source
    datagram.destination = destination
    datagram.identity = identity
    datagram.interface = iface
    datagram.deadline = now + REASSEMBLY_TIME
    datagram.isBad = false
    datagram.total = NONE
    datagram.received = 0
    datagram.reach = 0
    this.#age.append(0, at)
    this.#shares.append(share, at)
    return datagram
  }

  /** Puts a fragment where it belongs; false when it brings nothing. */
  #place({ bytes, view }: Slab, packet: Packet, datagram: Datagram): boolean {
    const payload = packet.length - packet.headerLength
    const offset = ipv4.fragmentOffset(view, packet.at)
    const end = offset + payload
    const isLast = !ipv4.moreFragments(view, packet.at)
    const { total, reach } = datagram
    const agrees = isLast ? end === total || (total < 0 && end >= reach) : end <= total || total < 0
    const seen = this.#units.compare(datagram.at, offset >>> 3, (end + 7) >>> 3)
    // A last fragment of nothing new says that those before had not told where the datagram ends.
    if (agrees && seen === SEEN && !(isLast && total < 0)) {
      this.counters.duplicates++
      return false
    }
    if (!agrees || seen !== UNSEEN) {
      this.counters.overlaps++
      datagram.isBad = true
      this.#letGo(datagram)
      return false
    }
    this.#units.mark(datagram.at, offset >>> 3, (end + 7) >>> 3)
    datagram.received += payload
    datagram.reach = Math.max(reach, end)
    if (isLast) datagram.total = end
    datagram.offsets.push(offset)
    datagram.pieces.push(bytes.slice(packet.transport, packet.transport + payload))
    this.#charge(datagram, payload + FRAGMENT_COST)
    return true
  }

  #charge(datagram: Datagram, bytes: number): void {
    datagram.cost += bytes
    this.#bytes += bytes
    this.#shareBytes[datagram.share]! += bytes
  }

  /** Other datagrams give way to the bytes that this one has got, or it does itself. */
  #makeRoom({ share }: Datagram): void {
    while (this.#shareBytes[share]! > Math.max(BYTES - this.#bytes, FAIR_BYTES)) this.#displace(this.#shares.oldest(share))
    while (this.#bytes > BYTES) this.#displace(this.#age.oldest(0))
  }

  #displace(index: number): void {
    this.counters.displaced++
    this.#end(this.#datagrams[index]!)
  }

  #complete(datagram: Datagram): number {
    const { first, offsets, pieces, total } = datagram
    const { bytes, view } = this.slab
    // All units of it have been seen, the first one too.
    const headerLength = (first![0]! & 15) << 2
    const length = headerLength + total
    if (length > PACKET_MAX) {
      this.counters.tooLong++
      this.#end(datagram)
      return 0
    }
    const at = PAYLOAD_AT - headerLength
    for (let index = 0; index < pieces.length; index++) bytes.set(pieces[index]!, PAYLOAD_AT + offsets[index]!)
    bytes.set(first!.subarray(0, headerLength), at)
    vnet.clear(view, at - vnet.LENGTH)
    ipv4.setTotalLength(view, at, length)
    ipv4.setFlagsAndOffset(view, at, 0)
    ipv4.writeChecksum(view, at)
    this.at = at
    copyArrival(this.arrival, datagram.arrival)
    this.counters.reassembled++
    this.#end(datagram)
    return length
  }

  /** Gives back the bytes that a datagram holds. */
  #letGo(datagram: Datagram): void {
    this.#charge(datagram, -datagram.cost)
    datagram.first = null
    datagram.offsets.length = 0
    datagram.pieces.length = 0
  }

  #end(datagram: Datagram): void {
    const { at, bucket } = datagram
    this.#letGo(datagram)
    this.#units.clear(at, (datagram.reach + 7) >>> 3)
    this.#age.remove(0, at)
    this.#shares.remove(datagram.share, at)
    if (this.#buckets[bucket] === at) this.#buckets[bucket] = datagram.next
    else {
      let before = this.#datagrams[this.#buckets[bucket]!]!
      while (before.next !== at) before = this.#datagrams[before.next]!
      before.next = datagram.next
    }
    this.#free.push(at)
  }
}
